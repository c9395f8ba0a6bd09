//! Accepts connections and makes them ready for HTTP: each on a task of its own until it spoke, so that
//! one that dawdles delays no other.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    connection::Connection,
    connection_limits::{ConnectionLimiter, PendingConnection},
    tls::Tls,
};

/// Connections that are ready and wait to be taken up.
const READY_QUEUE: usize = 64;
/// How long to wait after an accept that failed, such as for want of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// `EMFILE` and `ENFILE`: the process or the system has no more of them.
const EMFILE_ERRORS: [i32; 2] = [24, 23];

/// Connections, until the stream is dropped.
pub(super) fn connections(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    connection_limits: ConnectionLimiter,
) -> ReceiverStream<Connection> {
    let (ready, taken) = mpsc::channel(READY_QUEUE);
    tokio::spawn(accept(listener, tls, connection_limits, ready));
    ReceiverStream::new(taken)
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    connection_limits: ConnectionLimiter,
    ready: mpsc::Sender<Connection>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let (silent, opening) = (connection_limits.register(), connection_limits.preface_timeout());
                tokio::spawn(handshake(stream, address, tls.clone(), silent, opening, ready.clone()));
            }
            Err(error) => {
                let cause = if EMFILE_ERRORS.contains(&error.raw_os_error().unwrap_or(0)) {
                    "no_file_descriptors"
                } else {
                    "accept_failed"
                };
                metrics::counter!("logkey_connections_refused_total", "cause" => cause).increment(1);
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Waits for the connection to speak, and hands it on; until then it can be put out.
async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    mut silent: PendingConnection,
    opening: Duration,
    ready: mpsc::Sender<Connection>,
) {
    set_nodelay(&stream);
    let opened = tokio::select! {
        opened = timeout(opening, accept_tls(stream, tls)) => opened,
        _ = &mut silent.out => return,
        () = ready.closed() => return,
    };
    let stream = match opened {
        Ok(Ok(Some(stream))) => stream,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(peer = %address, %error, "a connection failed to open"),
        Err(_elapsed) => return tracing::debug!(peer = %address, "a connection took too long to open"),
    };
    if let Some(inside) = silent.admit(address.ip()) {
        let connection = match stream {
            AcceptedStream::Plain(stream) => Connection::plain(stream, address, inside, opening),
            AcceptedStream::Tls(stream) => Connection::tls(*stream, address, inside, opening),
        };
        drop(ready.send(connection).await);
    }
}

enum AcceptedStream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Until its first byte, and with TLS until the handshake is done; none where the peer left.
async fn accept_tls(stream: TcpStream, tls: Option<Arc<Tls>>) -> io::Result<Option<AcceptedStream>> {
    if stream.peek(&mut [0]).await? == 0 {
        return Ok(None);
    }
    let Some(tls) = tls else { return Ok(Some(AcceptedStream::Plain(stream))) };
    let stream = TlsAcceptor::from(tls.current()).accept(stream).await?;
    Ok(Some(AcceptedStream::Tls(Box::new(stream))))
}

/// tonic sets no socket options on connections that are handed to it.
fn set_nodelay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}
