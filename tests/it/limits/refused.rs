//! The binary's metrics of connections that it does not let stand, each cause by itself.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::live::{Live, is, until};
use crate::harness::Plan;

/// What a client of HTTP/2 says first, with settings of none.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// One that is let in is told settings; none where it is not.
async fn let_in(source: &str, to: SocketAddr) -> Option<TcpStream> {
    let mut stream = from(source, to).await;
    stream.write_all(HELLO).await.ok()?;
    let output = timeout(Duration::from_mins(1), stream.read_u8()).await.unwrap();
    output.ok().map(|_| stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_may_not_stand_are_counted_by_what_is_wrong_with_them() {
    let service = Box::pin(Plan::default().start()).await;
    let server = "max_connections = 3\nmax_connections_per_address = 2\n";
    let live = Box::pin(Live::start_with(&service, server)).await;
    let refused = async |cause: &str| {
        live.metric(&format!("logkey_connections_refused_total{{cause=\"{cause}\"}}")).await
    };
    let mut inside = vec![let_in("127.0.0.1", live.grpc).await.unwrap()];
    inside.push(let_in("127.0.0.1", live.grpc).await.unwrap());
    assert!(let_in("127.0.0.1", live.grpc).await.is_none());
    assert!(is(refused("too_many_of_one_address").await, 1.0));
    inside.push(let_in("127.0.0.2", live.grpc).await.unwrap());
    assert!(let_in("127.0.0.3", live.grpc).await.is_none());
    assert!(is(refused("too_many").await, 1.0));
    assert!(is(live.metric("logkey_connections").await, 3.0));

    // PING without end.
    let ping = b"\0\0\x08\x06\0\0\0\0\0measured".repeat(100);
    let flooding = inside.first_mut().unwrap();
    while flooding.write_all(&ping).await.is_ok() {}
    until(async || is(refused("frame_flood").await, 1.0)).await;
    until(async || is(live.metric("logkey_connections").await, 2.0)).await;

    assert!(is(refused("silent").await, 0.0));
    let mut silent = Vec::new();
    for _ in 0..501 {
        silent.push(from("127.0.0.1", live.grpc).await);
    }
    until(async || is(refused("silent").await, 1.0)).await;
    drop((silent, inside, live));
    service.stop().await;
}
