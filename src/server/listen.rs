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
    doorway::{Doorway, Silent},
    peer::Connection,
    tls::Tls,
};

/// Connections that are ready and wait to be taken up.
const READY: usize = 64;
/// How long to wait after an accept that failed, such as for want of file descriptors.
const AFTER_FAULT: Duration = Duration::from_millis(50);

/// `EMFILE` and `ENFILE`: the process or the system has no more of them.
const NO_FILES: [i32; 2] = [24, 23];

/// Connections, until the stream is dropped.
pub(super) fn connections(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    doorway: Doorway,
) -> ReceiverStream<Connection> {
    let (ready, taken) = mpsc::channel(READY);
    tokio::spawn(accept(listener, tls, doorway, ready));
    ReceiverStream::new(taken)
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    doorway: Doorway,
    ready: mpsc::Sender<Connection>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let (silent, opening) = (doorway.knock(), doorway.opening());
                tokio::spawn(usher(stream, address, tls.clone(), silent, opening, ready.clone()));
            }
            Err(error) => {
                let cause = if NO_FILES.contains(&error.raw_os_error().unwrap_or(0)) {
                    "no_file_descriptors"
                } else {
                    "accept_failed"
                };
                metrics::counter!("logkey_connections_refused_total", "cause" => cause).increment(1);
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(AFTER_FAULT).await;
            }
        }
    }
}

/// Waits for the connection to speak, and hands it on; until then it can be put out.
async fn usher(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    mut silent: Silent,
    opening: Duration,
    ready: mpsc::Sender<Connection>,
) {
    without_delay(&stream);
    let opened = tokio::select! {
        opened = timeout(opening, open(stream, tls)) => opened,
        _ = &mut silent.out => return,
        () = ready.closed() => return,
    };
    let stream = match opened {
        Ok(Ok(Some(stream))) => stream,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(peer = %address, %error, "a connection failed to open"),
        Err(_elapsed) => return tracing::debug!(peer = %address, "a connection took too long to open"),
    };
    if let Some(inside) = silent.enter(address.ip()) {
        let connection = match stream {
            Opened::Plain(stream) => Connection::plain(stream, address, inside, opening),
            Opened::Tls(stream) => Connection::tls(*stream, address, inside, opening),
        };
        drop(ready.send(connection).await);
    }
}

enum Opened {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Until its first byte, and with TLS until the handshake is done; none where the peer left.
async fn open(stream: TcpStream, tls: Option<Arc<Tls>>) -> io::Result<Option<Opened>> {
    if stream.peek(&mut [0]).await? == 0 {
        return Ok(None);
    }
    let Some(tls) = tls else { return Ok(Some(Opened::Plain(stream))) };
    let stream = TlsAcceptor::from(tls.current()).accept(stream).await?;
    Ok(Some(Opened::Tls(Box::new(stream))))
}

/// tonic sets no socket options on connections that are handed to it.
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}
