//! A connection as the HTTP transport reads and writes it, with timeouts and the flood guard, and its peer.

use std::{
    future::Future as _,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_lc_rs::digest;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{DropGuard, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::{
    connection_limits::ConnectionPermit,
    flood_guard::{FORBIDDEN, FloodVerdict, Frames},
};
use crate::domain::principal::CertificateThumbprint;

/// How long the server reads on after GOAWAY. If it closed at once, a TCP reset could overtake the GOAWAY.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// The most that a peer may send over HTTP/1.1 before a response, until its first valid token: the server collects
/// the header of a request in memory, up to a limit that is too high.
const MAX_ANONYMOUS_BYTES: usize = 48 * 1024;

/// The peer of a connection.
#[derive(Clone, Debug)]
pub(in crate::server) struct Peer {
    /// The peer's address.
    pub(in crate::server) address: SocketAddr,
    /// The thumbprint of the peer's verified client certificate, if it has one.
    pub(in crate::server) certificate: Option<CertificateThumbprint>,
    /// The permit of the connection. It is free when the connection and its calls have ended.
    pub(in crate::server) connection: Arc<ConnectionPermit>,
}

/// A connection that is ready for HTTP, with or without TLS.
#[derive(Debug)]
pub(in crate::server) struct Connection {
    stream: Stream,
    peer: Peer,
    frames: Frames,
    /// The read timeout: until the protocol is known, and while the connection lingers.
    read_timeout: Option<Pin<Box<Sleep>>>,
    /// How many bytes of the forbidden frame were passed on; `None` unless the peer floods.
    ending: Option<usize>,
    /// The bytes that the peer sent over HTTP/1.1 since the last response, before its first valid token.
    anonymous_bytes: usize,
    /// Whether the server's side is closed.
    closed: bool,
    /// The write timeout: a peer that accepts no bytes for this long is disconnected.
    write_timeout: Duration,
    /// The end of the current write timeout; `None` unless a write is pending.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Resolves when the connection has to make room, or its client certificate is no longer valid.
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Cancels a token when the connection is dropped.
    _gone: Option<DropGuard>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

// === impl Connection ===

impl Connection {
    pub(super) fn plain(
        stream: TcpStream,
        address: SocketAddr,
        permit: Arc<ConnectionPermit>,
        opening: Duration,
    ) -> Self {
        Self::new(Stream::Plain(stream), Peer { address, certificate: None, connection: permit }, opening)
    }

    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        permit: Arc<ConnectionPermit>,
        opening: Duration,
    ) -> Self {
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first).and_then(|certificate| {
            let sha256 = digest::digest(&digest::SHA256, certificate);
            sha256.as_ref().try_into().ok().map(CertificateThumbprint)
        });
        Self::new(Stream::Tls(Box::new(stream)), Peer { address, certificate, connection: permit }, opening)
    }

    fn new(stream: Stream, peer: Peer, opening: Duration) -> Self {
        let closing = Box::pin(peer.connection.displaced().clone().cancelled_owned());
        Self {
            stream,
            peer,
            frames: Frames::new(Instant::now()),
            read_timeout: Some(Box::pin(sleep(opening))),
            ending: None,
            anonymous_bytes: 0,
            closed: false,
            write_timeout: opening,
            stalled: None,
            closing,
            _gone: None,
        }
    }

    /// Prepares the connection for serving: `gone` is dropped with it, and `timeout` becomes the write
    /// timeout.
    pub(super) fn with_close_guard(self, gone: DropGuard, timeout: Duration) -> Self {
        Self { _gone: Some(gone), write_timeout: timeout, ..self }
    }

    /// Passes on the forbidden frame and then end of file, so that h2 ends the connection.
    fn abort(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let from = self.ending.unwrap_or(0);
        let left = FORBIDDEN.get(from..).unwrap_or_default();
        let left = left.get(..left.len().min(buf.remaining())).unwrap_or_default();
        buf.put_slice(left);
        self.ending = Some(from + left.len());
        Poll::Ready(Ok(()))
    }

    /// Returns the result of a write, or an error if the peer has accepted no bytes for too long.
    fn poll_write_timeout<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let timeout = self.write_timeout;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn read_timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        self.read_timeout.as_mut().is_some_and(|timeout| timeout.as_mut().poll(cx).is_ready())
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ending.is_some() {
            return this.abort(buf);
        }
        // First, so that a peer that sends without end cannot delay it.
        if this.closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        match this.stream.poll_read(cx, buf) {
            Poll::Ready(read) => read?,
            Poll::Pending if this.read_timed_out(cx) => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => return Poll::Pending,
        }
        let received = buf.filled().get(before..).unwrap_or_default();
        let verdict = this.frames.received(Instant::now(), received);
        if this.frames.is_http1() && !this.peer.connection.is_authenticated() {
            this.anonymous_bytes += received.len();
            if this.anonymous_bytes > MAX_ANONYMOUS_BYTES {
                tracing::debug!(peer = %this.peer.address, "a connection sent too much before a valid token and was closed");
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        if this.frames.protocol_known() {
            this.read_timeout = None;
        }
        if let FloodVerdict::Flood(fine) = verdict {
            tracing::debug!(peer = %this.peer.address, "a connection flooded the server with frames and was closed");
            metrics::counter!("logkey_connections_refused_total", "cause" => "frame_flood").increment(1);
            buf.set_filled(before + fine);
            return this.abort(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        let written = ready!(self.poll_write_timeout(cx, done))?;
        self.frames.sent(written);
        self.anonymous_bytes = 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.poll_write_timeout(cx, done)
    }

    /// Closes the server's side, then reads and discards what the peer still sends, for [`LINGER_TIMEOUT`].
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            let done = match &mut this.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            };
            ready!(this.poll_write_timeout(cx, done))?;
            this.closed = true;
            this.read_timeout = Some(Box::pin(sleep(LINGER_TIMEOUT)));
        }
        let mut bytes = [0; 4096];
        loop {
            if this.read_timed_out(cx) {
                return Poll::Ready(Ok(()));
            }
            let mut discarded = ReadBuf::new(&mut bytes);
            match ready!(this.stream.poll_read(cx, &mut discarded)) {
                Ok(()) if !discarded.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        let written = ready!(self.poll_write_timeout(cx, done))?;
        self.frames.sent(written);
        self.anonymous_bytes = 0;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

// === impl Stream ===

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}
