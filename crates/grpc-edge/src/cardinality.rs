//! Rejects a call with no request message, or with more than one, to a method that takes one. gRPC's list of status
//! codes asks for UNIMPLEMENTED (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>); tonic answers
//! INTERNAL and ignores the second message.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use prost_reflect::DescriptorPool;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::frame::PREFIX;

/// Counts the request messages of each call. It belongs behind every layer that converts another protocol to gRPC.
#[derive(Clone, Debug)]
pub struct CardinalityLayer {
    /// The paths of the methods that take one message.
    single: Arc<HashSet<Box<str>>>,
}

/// The service behind a [`CardinalityLayer`].
#[derive(Clone, Debug)]
pub struct Cardinality<S> {
    inner: S,
    single: Arc<HashSet<Box<str>>>,
}

/// A request body of one message.
struct SingleMessage {
    inner: Body,
    counter: MessageCounter,
}

/// Counts the messages in the bytes of a body.
#[derive(Debug, Default)]
struct MessageCounter {
    messages: u32,
    prefix: [u8; PREFIX],
    /// How many bytes of the current prefix arrived.
    filled: usize,
    /// How many bytes of the current message are missing.
    missing: usize,
}

// === impl CardinalityLayer ===

impl CardinalityLayer {
    /// Counts the messages of the methods of these descriptors.
    #[must_use]
    pub fn new(pool: &DescriptorPool) -> Self {
        let methods = pool.services().flat_map(|service| {
            service.methods().collect::<Vec<_>>().into_iter().map(move |method| (service.clone(), method))
        });
        let single = methods
            .filter(|(_, method)| !method.is_client_streaming())
            .map(|(service, method)| format!("/{}/{}", service.full_name(), method.name()).into());
        Self { single: Arc::new(single.collect()) }
    }
}

impl<S> Layer<S> for CardinalityLayer {
    type Service = Cardinality<S>;

    fn layer(&self, inner: S) -> Cardinality<S> {
        Cardinality { inner, single: Arc::clone(&self.single) }
    }
}

// === impl Cardinality ===

impl<S> Service<Request<Body>> for Cardinality<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        if !self.single.contains(request.uri().path()) {
            return self.inner.call(request);
        }
        let counter = MessageCounter::default();
        self.inner.call(request.map(|inner| Body::new(SingleMessage { inner, counter })))
    }
}

// === impl SingleMessage ===

impl http_body::Body for SingleMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(frame) => Some(frame?),
            None => None,
        };
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            self.counter.read(data);
        }
        let is_end = frame.as_ref().is_none_or(Frame::is_trailers);
        let problem = match self.counter.messages {
            0 if is_end => "the method takes one message, and the call has none",
            0 | 1 => return Poll::Ready(frame.map(Ok)),
            2.. => "the method takes one message, and the call has more",
        };
        Poll::Ready(Some(Err(Status::unimplemented(problem))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.counter.messages > 0
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl MessageCounter ===

impl MessageCounter {
    fn read(&mut self, mut data: &[u8]) {
        while let Some(&byte) = data.first() {
            if self.missing > 0 {
                let skipped = self.missing.min(data.len());
                self.missing -= skipped;
                data = data.get(skipped..).unwrap_or_default();
                continue;
            }
            if self.filled == 0 {
                self.messages = self.messages.saturating_add(1);
            }
            if let Some(slot) = self.prefix.get_mut(self.filled) {
                *slot = byte;
            }
            self.filled += 1;
            data = data.get(1..).unwrap_or_default();
            if self.filled == PREFIX {
                let [_flags, length @ ..] = self.prefix;
                self.missing = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.filled = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    fn count(chunks: &[&[u8]]) -> u32 {
        let mut counter = MessageCounter::default();
        for chunk in chunks {
            counter.read(chunk);
        }
        counter.messages
    }

    #[test]
    fn messages_are_counted_however_the_bytes_are_cut() {
        let bytes = [frame::put(0, b"abc"), frame::put(0, b"")].concat();
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[&bytes]), 2);
        for at in 1..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(count(&[head, tail]), 2, "{at}");
            assert_eq!(count(&[head]), if at <= 8 { 1 } else { 2 }, "{at}");
        }
    }
}
