//! What anybody can open without a token: the memory of the process stays within the documented bounds.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use logkey::{app::descriptors, server::ConnectionLimits};
use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::harness::{ALL, Caller};

/// The text of the table in docs/limits.md, as pairs of number and KiB each, by the name of the row.
fn rows() -> Vec<(String, f64, f64)> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md")).unwrap();
    let (_, table) = text.split_once("| memory of | number | KiB each | MiB |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, number, each, all] = cells[..] else { panic!("{line}") };
        let (number, each, all): (f64, f64, f64) =
            (number.parse().unwrap(), each.parse().unwrap(), all.parse().unwrap());
        assert!((number * each / 1024.0 - all).abs() <= 1.0, "{line}");
        (name.to_owned(), number, each)
    });
    rows.collect()
}

/// The MiB of the rows whose name contains one of these texts.
fn mib(names: &[&str]) -> f64 {
    let rows = rows();
    let of = |name: &&str| {
        let found: Vec<_> = rows.iter().filter(|(row, ..)| row.contains(*name)).collect();
        let [(_, number, each)] = found[..] else { panic!("{name}: {found:?}") };
        number * each / 1024.0
    };
    names.iter().map(of).sum()
}

#[test]
fn the_documented_bounds_add_up_to_less_than_the_shipped_limit() {
    let rows = rows();
    let sum: f64 = rows.iter().map(|(_, number, each)| number * each / 1024.0).sum();
    for manifest in ["sqlite.yaml", "postgres.yaml"] {
        let path = format!("{}/deploy/kubernetes/{manifest}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("memory: 1Gi"), "{manifest}");
        assert!(sum < 1024.0 * 0.9, "{sum} MiB");
    }
    let ConnectionLimits { max, max_silent, max_anonymous, .. } = ConnectionLimits::default();
    let count = |name: &str| rows.iter().find(|(row, ..)| row.contains(name)).unwrap().1;
    let documented = ["before their first byte", "without a valid token", "with a valid token"].map(count);
    let limits = [max_silent, max_anonymous, max - max_anonymous]
        .map(|limit| f64::from(u32::try_from(limit).unwrap()));
    assert_eq!(documented.map(f64::to_bits), limits.map(f64::to_bits));
}

/// A connection from the loopback address of this number.
async fn connect_from(number: u8, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(Ipv4Addr::new(127, 0, 2, number).into(), 0)).ok()?;
    socket.connect(to).await.ok()
}

/// Opens streams of health and reflection on one connection until the server refuses one. Returns what keeps
/// them open, and their number.
async fn open_streams(number: u8, to: SocketAddr) -> Option<(h2::client::SendRequest<bytes::Bytes>, usize)> {
    let stream = connect_from(number, to).await?;
    let (mut requests, connection) = h2::client::handshake(stream).await.ok()?;
    tokio::spawn(connection);
    let paths = ["/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"];
    let mut open = 0;
    for path in paths.iter().cycle().take(40) {
        let request = http::Request::post(format!("http://{to}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        requests = requests.ready().await.ok()?;
        let (response, mut body) = requests.send_request(request, false).ok()?;
        if path.ends_with("Watch") {
            body.send_data(bytes::Bytes::from_static(&[0; 5]), true).ok()?;
        }
        let response = response.await.ok()?;
        if response.headers().contains_key("grpc-status") {
            break;
        }
        open += 1;
        // The stream stays open as long as the process of the test.
        tokio::spawn(async move {
            let _body = body;
            let mut answer = response.into_body();
            while let Some(Ok(_)) = answer.data().await {}
        });
    }
    Some((requests, open))
}

fn resident_mib(process: &Process) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_opened_without_a_token_stays_within_its_memory() {
    descriptors::reserve(ConnectionLimits { max: 3_000, ..ConnectionLimits::default() }).unwrap();
    let tenant = SettingsText::default().tenant("payments", "").to_string();
    let process = Process::serve_in(tempfile::tempdir().unwrap(), "", &tenant).await;
    let before = resident_mib(&process);
    let silent = join_all((0..600).map(|_| connect_from(1, process.grpc))).await;
    let mut connections = Vec::new();
    for number in 0..900_u32 {
        let address = u8::try_from(number % 100).unwrap() + 1;
        connections.extend(open_streams(address, process.grpc).await);
    }
    let open: usize = connections.iter().map(|(_, open)| open).sum();
    assert!(connections.iter().all(|(_, open)| *open <= 16));
    assert!((1_000..=1_024).contains(&open), "{open} streams were opened");
    let grown = resident_mib(&process) - before;
    let bound =
        mib(&["before their first byte", "connections without a valid token", "health and reflection"]);
    assert!(grown < bound, "{grown} MiB for {open} streams, the bound is {bound} MiB");
    // Callers with a token still get in.
    let caller = Caller::new(process.channel(), &process.issuer.token("payments", ALL));
    caller.who_am_i().await.unwrap();
    drop((silent, connections));
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}
