//! Bounds the calls that need no token: health and reflection. Anybody can open them, so they are bounded in
//! number per connection, per address and in all, and in time. A stream that reaches its age ends with a
//! status, and its client opens it again.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use metrics::counter;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep, timeout_at};
use tonic::{Status, body::Body};

use super::middleware::{Middleware, Next};
use crate::{
    domain::call::Call,
    ports::limit::DropGuard,
    server::{
        grpc::status::{self, EdgeRefusal},
        transport::{connection::Peer, source::ip_network},
    },
    service,
};

/// The maximum of all connections together.
pub(in crate::server) const MAX_OPEN: usize = 1_024;
/// The maximum of one address, or of one IPv6 /64.
const MAX_OF_ADDRESS: usize = 128;
/// The maximum of one connection.
const MAX_OF_CONNECTION: usize = 16;
/// The longest time that a stream stays open.
const MAX_AGE: Duration = Duration::from_mins(30);
/// The retry delay of a refused call.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bounds the calls that need no token.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct OpenCalls {
    open: Arc<Mutex<OpenCounts>>,
}

#[derive(Debug, Default)]
struct OpenCounts {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
    by_connection: HashMap<u64, usize>,
}

/// A response body that ends at its age. It holds the slot of its call.
struct BoundedBody {
    inner: Body,
    expires: Pin<Box<Sleep>>,
    has_ended: bool,
    _slot: DropGuard,
}

// === impl OpenCalls ===

impl OpenCalls {
    /// Counts a call until the guard is dropped. `None` if a limit is reached.
    fn try_acquire(&self, address: Option<IpAddr>, connection: Option<u64>) -> Option<DropGuard> {
        let address = address.map(ip_network);
        let mut open = self.open.lock();
        let of_address = address.map_or(0, |address| open.by_address.get(&address).copied().unwrap_or(0));
        let of_connection = connection.map_or(0, |id| open.by_connection.get(&id).copied().unwrap_or(0));
        if open.in_all >= MAX_OPEN || of_address >= MAX_OF_ADDRESS || of_connection >= MAX_OF_CONNECTION {
            return None;
        }
        open.in_all += 1;
        if let Some(address) = address {
            open.by_address.insert(address, of_address + 1);
        }
        if let Some(connection) = connection {
            open.by_connection.insert(connection, of_connection + 1);
        }
        drop(open);
        let counts = Arc::clone(&self.open);
        Some(DropGuard::new(move || {
            let mut open = counts.lock();
            open.in_all = open.in_all.saturating_sub(1);
            if let Some(address) = address {
                decrement(&mut open.by_address, &address);
            }
            if let Some(connection) = connection {
                decrement(&mut open.by_connection, &connection);
            }
        }))
    }
}

fn decrement<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Middleware for OpenCalls {
    async fn run<S: Next>(self, request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let Some(call) = request.extensions().get::<Arc<Call>>().cloned() else {
            return Ok(status::missing_extension().into_http());
        };
        let connection = request.extensions().get::<Peer>().map(|peer| peer.connection.number());
        let Some(slot) = self.try_acquire(call.source, connection) else {
            counter!("logkey_limit_refused_total", "cause" => "calls_without_token").increment(1);
            let refusal = EdgeRefusal::Overloaded { retry_after: RETRY_AFTER };
            return Ok(status::from_refusal(&call, &refusal).into_http());
        };
        // The request itself may arrive slowly.
        match timeout_at(call.deadline.into(), next.call(request)).await {
            Ok(response) => Ok(response?.map(|inner| Body::new(BoundedBody::new(inner, slot)))),
            Err(_elapsed) => {
                let error = service::Error::Aws(service::AwsCallError::DeadlineBeforeAws);
                Ok(status::from_error(&call, &error).into_http())
            }
        }
    }
}

// === impl BoundedBody ===

impl BoundedBody {
    fn new(inner: Body, slot: DropGuard) -> Self {
        Self { inner, expires: Box::pin(sleep(MAX_AGE)), has_ended: false, _slot: slot }
    }
}

impl HttpBody for BoundedBody {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.expires.as_mut().poll(cx));
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        let aged = Status::unavailable("the stream was open for 30 minutes, the longest time: open it again");
        Poll::Ready(Some(aged.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
