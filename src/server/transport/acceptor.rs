//! Accepts connections and prepares them for HTTP. Each one has its own task until its first byte and its TLS
//! handshake are done, so a slow one delays no other.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    connection::Connection,
    connection_limits::{ConnectionLimiter, PendingConnection},
    tls::{LoadedTls, Tls},
};

/// The capacity of the queue of connections that are ready for HTTP.
const READY_QUEUE: usize = 64;
/// The delay after a failed `accept`, for example without free file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// How often the client certificates of open connections are verified again, because certificates expire.
const CERTIFICATE_RECHECK_INTERVAL: Duration = Duration::from_mins(1);

/// `EMFILE` and `ENFILE`: the process or the system has no free file descriptors.
const EMFILE_ERRORS: [i32; 2] = [24, 23];

/// What every new connection needs until it is ready for HTTP.
#[derive(Clone)]
struct Acceptor {
    tls: Option<Arc<Tls>>,
    limits: ConnectionLimiter,
    ready: mpsc::Sender<Connection>,
}

enum AcceptedStream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Accepts connections until the returned stream is dropped.
pub(in crate::server) fn connections(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: ConnectionLimiter,
) -> ReceiverStream<Connection> {
    let (ready, taken) = mpsc::channel(READY_QUEUE);
    tokio::spawn(accept(listener, Acceptor { tls, limits, ready }));
    ReceiverStream::new(taken)
}

async fn accept(listener: TcpListener, acceptor: Acceptor) {
    let mut recheck = interval(CERTIFICATE_RECHECK_INTERVAL);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = recheck.tick() => {
                if let Some(tls) = &acceptor.tls {
                    tls.close_unverified();
                }
                continue;
            }
            () = acceptor.ready.closed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let pending = acceptor.limits.register(address.ip());
                tokio::spawn(acceptor.clone().handshake(stream, address, pending));
            }
            Err(error) => {
                let cause = if EMFILE_ERRORS.contains(&error.raw_os_error().unwrap_or(0)) {
                    "no_file_descriptors"
                } else {
                    "accept_failed"
                };
                metrics::counter!("logkey_connections_refused_total", "cause" => cause).increment(1);
                tracing::warn!(%error, "a connection was not accepted");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

// === impl Acceptor ===

impl Acceptor {
    /// Waits until the connection is ready, and passes it on. Until then, a newer connection can displace it.
    async fn handshake(self, stream: TcpStream, address: SocketAddr, pending: PendingConnection) {
        set_nodelay(&stream);
        let opening = self.limits.preface_timeout();
        let tls = self.tls.as_ref().map(|tls| tls.current());
        let opened = tokio::select! {
            opened = timeout(opening, accept_tls(stream, tls.as_deref())) => opened,
            () = pending.displaced.cancelled() => return,
            () = self.ready.closed() => return,
        };
        let stream = match opened {
            Ok(Ok(Some(stream))) => stream,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                return tracing::debug!(peer = %address, %error, "the first byte or the TLS handshake of a connection failed");
            }
            Err(_elapsed) => {
                return tracing::debug!(peer = %address, "the first byte or the TLS handshake of a connection took too long");
            }
        };
        if let Some(permit) = pending.admit() {
            let connection = match stream {
                AcceptedStream::Plain(stream) => Connection::plain(stream, address, permit, opening),
                AcceptedStream::Tls(stream) => {
                    if let (Some(tls), Some(verified_by)) = (&self.tls, &tls) {
                        let (_, session) = stream.get_ref();
                        tls.track(&permit, session.peer_certificates(), verified_by);
                    }
                    Connection::tls(*stream, address, permit, opening)
                }
            };
            drop(self.ready.send(connection).await);
        }
    }
}

/// Waits for the first byte, and with TLS for the handshake. Returns `None` if the peer disconnects before.
async fn accept_tls(stream: TcpStream, tls: Option<&LoadedTls>) -> io::Result<Option<AcceptedStream>> {
    if stream.peek(&mut [0]).await? == 0 {
        return Ok(None);
    }
    let Some(tls) = tls else { return Ok(Some(AcceptedStream::Plain(stream))) };
    let stream = TlsAcceptor::from(Arc::clone(&tls.server)).accept(stream).await?;
    Ok(Some(AcceptedStream::Tls(Box::new(stream))))
}

/// tonic sets no socket options on connections that `serve_with_incoming` gets.
fn set_nodelay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
}
