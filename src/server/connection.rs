//! A connection as the transport reads it, and what is known of its other end.

use std::{
    future::Future as _,
    io,
    net::SocketAddr,
    pin::Pin,
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
use tokio_util::sync::DropGuard;
use tonic::transport::server::Connected;

use super::{
    connection_limits::ConnectionPermit,
    flood_guard::{FORBIDDEN, FloodVerdict, Frames},
};
use crate::domain::principal::CertificateThumbprint;

/// How long what a peer still sends is read after we said goodbye: a reset would overtake the goodbye.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: SocketAddr,
    /// The certificate it proved to hold, where it showed one.
    pub(super) certificate: Option<CertificateThumbprint>,
}

/// A connection that is ready for HTTP, encrypted or not.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    peer: Peer,
    frames: Frames,
    /// Until the protocol is known, or while the peer is heard out.
    limit: Option<Pin<Box<Sleep>>>,
    /// How much of the frame that ends it was handed on.
    ending: Option<usize>,
    /// Our side is closed.
    closed: bool,
    /// How long the peer may take nothing of what we send.
    timeout: Duration,
    /// Until then it has to take something.
    stalled: Option<Pin<Box<Sleep>>>,
    _inside: ConnectionPermit,
    /// Tells that the connection is no more.
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
        inside: ConnectionPermit,
        opening: Duration,
    ) -> Self {
        Self::new(Stream::Plain(stream), Peer { address, certificate: None }, inside, opening)
    }

    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        inside: ConnectionPermit,
        opening: Duration,
    ) -> Self {
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first).and_then(|certificate| {
            let sha256 = digest::digest(&digest::SHA256, certificate);
            sha256.as_ref().try_into().ok().map(CertificateThumbprint)
        });
        Self::new(Stream::Tls(Box::new(stream)), Peer { address, certificate }, inside, opening)
    }

    fn new(stream: Stream, peer: Peer, inside: ConnectionPermit, opening: Duration) -> Self {
        Self {
            stream,
            peer,
            frames: Frames::new(Instant::now()),
            limit: Some(Box::pin(sleep(opening))),
            ending: None,
            closed: false,
            timeout: opening,
            stalled: None,
            _inside: inside,
            _gone: None,
        }
    }

    /// From now on it is served: `gone` is told when it is no more, and a peer that takes nothing of what
    /// we send is put out after this long.
    pub(super) fn with_close_guard(self, gone: DropGuard, timeout: Duration) -> Self {
        Self { _gone: Some(gone), timeout, ..self }
    }

    /// Hands on the frame that ends the connection, and then nothing.
    fn abort(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let from = self.ending.unwrap_or(0);
        let left = FORBIDDEN.get(from..).unwrap_or_default();
        let left = left.get(..left.len().min(buf.remaining())).unwrap_or_default();
        buf.put_slice(left);
        self.ending = Some(from + left.len());
        Poll::Ready(Ok(()))
    }

    /// What came of handing something to the peer, unless it has taken nothing for too long.
    fn poll_timeout<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let timeout = self.timeout;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn timeout_error(&mut self, cx: &mut Context<'_>) -> bool {
        self.limit.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready())
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
        let before = buf.filled().len();
        match this.stream.poll_read(cx, buf) {
            Poll::Ready(read) => read?,
            Poll::Pending if this.timeout_error(cx) => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => return Poll::Pending,
        }
        let verdict = this.frames.received(Instant::now(), buf.filled().get(before..).unwrap_or_default());
        if this.frames.protocol_known() {
            this.limit = None;
        }
        if let FloodVerdict::Flood(fine) = verdict {
            tracing::debug!(peer = %this.peer.address, "a connection that flooded was ended");
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
        let written = ready!(self.poll_timeout(cx, done))?;
        self.frames.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.poll_timeout(cx, done)
    }

    /// Closes our side, and hears the peer out for a moment.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            let done = match &mut this.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            };
            ready!(this.poll_timeout(cx, done))?;
            this.closed = true;
            this.limit = Some(Box::pin(sleep(LINGER_TIMEOUT)));
        }
        let mut monitored = [0; 4096];
        loop {
            if this.timeout_error(cx) {
                return Poll::Ready(Ok(()));
            }
            let mut monitored = ReadBuf::new(&mut monitored);
            match ready!(this.stream.poll_read(cx, &mut monitored)) {
                Ok(()) if !monitored.filled().is_empty() => {}
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
        let written = ready!(self.poll_timeout(cx, done))?;
        self.frames.sent(written);
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
