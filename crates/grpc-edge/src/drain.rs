//! Reads the rest of a request before an early answer over HTTP/1.1. A server that closes a connection with unread
//! bytes resets it, and the client may lose the answer: "If a server performs an immediate close of a TCP connection,
//! there is a significant risk that the client will not be able to read the last HTTP response"
//! (<https://www.rfc-editor.org/rfc/rfc9112#section-9.6>).

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response, Version, header::EXPECT};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{sync::oneshot, time::timeout};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

/// The most that is read and discarded of one request, in bytes. It is above the longest message that the service
/// takes, so that the refusal of a longer one arrives too.
const MAX_DISCARDED: usize = 8 * 1024 * 1024;
/// How long the rest of a request may take; nginx waits as long for more (`lingering_timeout`).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the rest of a request body over HTTP/1.1 before the answer, within a bound of size and time. The bytes are
/// discarded.
#[derive(Clone, Copy, Debug)]
pub struct DrainLayer;

/// The service behind a [`DrainLayer`].
#[derive(Clone, Debug)]
pub struct Drain<S> {
    inner: S,
}

/// A request body that is handed back when its reader drops it.
struct ReturnedBody {
    /// None once the body has ended, which must not be read again.
    inner: Option<Body>,
    owner: Option<oneshot::Sender<Body>>,
    /// Whether the client sends the body without being asked, or was asked.
    is_coming: bool,
}

type Drained<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

// === impl DrainLayer ===

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain { inner }
    }
}

// === impl Drain ===

impl<S> Service<Request<Body>> for Drain<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error: Send, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Drained<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // A stream of HTTP/2 ends without the connection.
        if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
            return Either::Left(self.inner.call(request));
        }
        // A client that waits for `100 Continue` does not send the body after an early answer.
        let is_coming = !request.headers().contains_key(EXPECT);
        let (owner, mut returned) = oneshot::channel();
        let answer =
            self.inner
                .call(request.map(|body| {
                    Body::new(ReturnedBody { inner: Some(body), owner: Some(owner), is_coming })
                }));
        Either::Right(Box::pin(async move {
            let answer = answer.await;
            // If it is not there, a stream of responses still reads it.
            if let Ok(body) = returned.try_recv() {
                let _late = timeout(DRAIN_TIMEOUT, discard(body)).await;
            }
            answer
        }))
    }
}

async fn discard(mut body: Body) {
    let mut discarded = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        discarded = discarded.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if discarded > MAX_DISCARDED {
            return;
        }
    }
}

// === impl ReturnedBody ===

impl http_body::Body for ReturnedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_coming = true;
        let Some(body) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for ReturnedBody {
    fn drop(&mut self) {
        if let (true, Some(body), Some(owner)) = (self.is_coming, self.inner.take(), self.owner.take()) {
            // The owner is gone if the client is.
            let _gone = owner.send(body);
        }
    }
}

#[cfg(test)]
mod tests;
