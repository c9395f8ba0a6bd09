//! The binary's metrics of refused connections, for each cause.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::live::{Live, is_close, until};
use crate::harness::Plan;

/// The HTTP/2 client preface with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn connect_from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Opens a connection. The server answers an accepted connection with SETTINGS; otherwise the result is
/// `None`.
async fn accepted(source: &str, to: SocketAddr) -> Option<TcpStream> {
    let mut stream = connect_from(source, to).await;
    stream.write_all(PREFACE).await.ok()?;
    let first_byte = timeout(Duration::from_mins(1), stream.read_u8()).await.unwrap();
    first_byte.ok().map(|_| stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connections_are_counted_by_cause() {
    let service = Box::pin(Plan::default().start()).await;
    let server = "max_connections = 3\nmax_connections_per_address = 2\n";
    let live = Box::pin(Live::start_with(&service, server)).await;
    let refused = async |cause: &str| {
        live.metric(&format!("logkey_connections_refused_total{{cause=\"{cause}\"}}")).await
    };
    let mut connections = vec![accepted("127.0.0.1", live.grpc).await.unwrap()];
    connections.push(accepted("127.0.0.1", live.grpc).await.unwrap());
    // None of them sent a valid token, so the oldest makes room each time.
    connections.push(accepted("127.0.0.1", live.grpc).await.unwrap());
    connections.remove(0);
    assert!(is_close(refused("too_many_of_one_address").await, 1.0));
    until(async || is_close(live.metric("logkey_connections").await, 2.0)).await;
    connections.push(accepted("127.0.0.2", live.grpc).await.unwrap());
    connections.push(accepted("127.0.0.3", live.grpc).await.unwrap());
    connections.remove(0);
    assert!(is_close(refused("too_many").await, 1.0));
    until(async || is_close(live.metric("logkey_connections").await, 3.0)).await;

    // Pings without end.
    let ping = b"\0\0\x08\x06\0\0\0\0\0measured".repeat(100);
    let flooding = connections.first_mut().unwrap();
    while flooding.write_all(&ping).await.is_ok() {}
    until(async || is_close(refused("frame_flood").await, 1.0)).await;
    until(async || is_close(live.metric("logkey_connections").await, 2.0)).await;

    assert!(is_close(refused("silent").await, 0.0));
    let mut silent = Vec::new();
    for _ in 0..501 {
        silent.push(connect_from("127.0.0.1", live.grpc).await);
    }
    until(async || is_close(refused("silent").await, 1.0)).await;
    drop((silent, connections, live));
    service.stop().await;
}
