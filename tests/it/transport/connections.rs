//! Idle and silent connections.

use std::{net::SocketAddr, time::Duration};

use logkey::server::ConnectionLimits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{config, front, front_over_tls, get_caller, good_calls_go_on, wire::Wire};

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(Duration::from_secs(5), stream.read(&mut [0; 1024])).await;
    read.is_ok_and(|read| matches!(read, Ok(0) | Err(_)))
}

/// This number of connections, or as many as the open file limit allows: both ends are in this process.
fn limited_by_open_files(connections: usize) -> usize {
    let status = std::process::Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), "--nofile=16384:"])
        .stderr(std::process::Stdio::null())
        .status();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: usize = files.split_whitespace().next().unwrap().parse().unwrap();
    assert!(files >= 4_096, "prlimit --nofile=16384 did not help: {status:?}");
    connections.min(files - 1_500)
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_silent_connections_do_not_block_others() {
    let front = front(config()).await;
    let mut silent = Vec::new();
    for _ in 0..limited_by_open_files(5_000) {
        silent.push(connect(front.address).await);
    }
    let mut caller = front.caller().await;
    let answer = timeout(Duration::from_secs(5), caller.get_caller(get_caller("good"))).await;
    assert!(answer.unwrap().is_ok());
    assert!(is_closed(silent.first_mut().unwrap()).await, "the server closed the oldest connection");
    drop((silent, caller));
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_an_http2_preface_is_closed() {
    let connections = ConnectionLimits { opening: Duration::from_millis(200), ..ConnectionLimits::default() };
    let front = front(logkey::server::Config { connections, ..config() }).await;
    for bytes in [b"".as_slice(), b"P", b"PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut stream = connect(front.address).await;
        stream.write_all(bytes).await.unwrap();
        assert!(is_closed(&mut stream).await, "after {bytes:?}");
    }
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_tls_handshake_is_closed() {
    let connections = ConnectionLimits { opening: Duration::from_secs(1), ..ConnectionLimits::default() };
    let front = front_over_tls(logkey::server::Config { connections, ..config() }).await;
    // No bytes, and the beginning of a ClientHello of 512 bytes.
    for bytes in [b"".as_slice(), &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]] {
        let mut stream = connect(front.address).await;
        stream.write_all(bytes).await.unwrap();
        assert!(is_closed(&mut stream).await, "after {bytes:?}");
    }
    good_calls_go_on(&front).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_http1_header_without_a_token_ends_the_connection() {
    let front = front(config()).await;
    let mut stream = connect(front.address).await;
    stream
        .write_all(b"POST /keyassociation.v1.TenantService/GetCaller HTTP/1.1\r\nx-filler: ")
        .await
        .unwrap();
    let mut sent = 0;
    while sent < 1024 * 1024 && stream.write_all(&[b'a'; 4096]).await.is_ok() {
        sent += 4096;
        tokio::task::yield_now().await;
    }
    assert!(is_closed(&mut stream).await);
    good_calls_go_on(&front).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_only_answer_pings_keep_nobody_out() {
    let connections =
        ConnectionLimits { max: 20, max_per_address: 20, max_anonymous: 15, ..ConnectionLimits::default() };
    let front = front(logkey::server::Config { connections, ..config() }).await;
    let mut caller = front.caller().await;
    caller.get_caller(get_caller("good")).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(Wire::open(front.address).await);
    }
    caller.get_caller(get_caller("good")).await.unwrap();
    good_calls_go_on(&front).await;
    drop((idle, caller));
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_a_connection_limit_and_a_close_frees_a_slot() {
    let connections = ConnectionLimits { max_per_address: 2, ..ConnectionLimits::default() };
    let front = front(logkey::server::Config { connections, ..config() }).await;
    let mut callers = Vec::new();
    for _ in 0..2 {
        let mut caller = front.caller().await;
        caller.get_caller(get_caller("good")).await.unwrap();
        callers.push(caller);
    }
    let mut third = connect(front.address).await;
    third.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    assert!(is_closed(&mut third).await, "both connections had a valid token");
    let two = callers.pop();
    drop(callers);
    // Until the server releases the first connection, it accepts a new one and then closes it.
    let caller = loop {
        let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", front.address)).unwrap();
        if let Ok(channel) = endpoint.connect().await {
            let mut caller = logkey::proto::tenant_service_client::TenantServiceClient::new(channel);
            if caller.get_caller(get_caller("good")).await.is_ok() {
                break caller;
            }
        }
    };
    drop((two, third, caller));
    front.end().await;
}
