//! Bodies as faults want them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryFutureExt as _, stream};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame};
use tokio::time;

use crate::sandbox::{
    fault::{Effect, FaultPlan},
    http::ConnectionReset,
    wire::{self, Body},
};

const HALF_PAUSE: Duration = Duration::from_millis(5);

/// An answer with status 200 that means nothing.
pub(super) fn malformed_body(request_id: &str) -> Response<Body> {
    let bytes = Bytes::from_static(b"\x00\xff<{\"garbage\":");
    wire::response("application/octet-stream", StatusCode::OK, bytes, request_id)
}

/// The same answer slowly or by half, where a fault wants that. It says how long it is either way.
pub(super) fn shape(response: Response<Body>, plan: &FaultPlan) -> Response<Body> {
    let stages = [&plan.before, &plan.after].into_iter().flatten();
    for effect in stages {
        match effect {
            Effect::Drip { bytes, every_ms } => {
                let every = Duration::from_millis(*every_ms);
                let size = (*bytes).max(1);
                return replaced(response, move |whole| trickle(whole, size, every));
            }
            Effect::Truncate => return replaced(response, two_chunks),
            Effect::Throttle
            | Effect::Error { .. }
            | Effect::Latency { .. }
            | Effect::Hang
            | Effect::Reset
            | Effect::Garbage
            | Effect::ExpiredCredentials
            | Effect::WrongAccount(_) => {}
        }
    }
    response
}

fn replaced<S>(response: Response<Body>, how: impl FnOnce(Bytes) -> S + Send + 'static) -> Response<Body>
where
    S: Stream<Item = Result<Frame<Bytes>, ConnectionReset>> + Send + 'static,
{
    let (mut parts, body) = response.into_parts();
    let length = body.size_hint().exact().unwrap_or(0);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let frames = async move {
        body.collect().await.map(|whole| how(whole.to_bytes())).map_err(|_error| ConnectionReset)
    };
    let frames = frames.try_flatten_stream();
    Response::from_parts(parts, Either::Right(UnsyncBoxBody::new(StreamBody::new(frames))))
}

fn trickle(
    whole: Bytes,
    size: usize,
    every: Duration,
) -> impl Stream<Item = Result<Frame<Bytes>, ConnectionReset>> {
    stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        time::sleep(every).await;
        let next = rest.split_to(size.min(rest.len()));
        Some((Ok(Frame::data(next)), rest))
    })
}

fn two_chunks(mut whole: Bytes) -> impl Stream<Item = Result<Frame<Bytes>, ConnectionReset>> {
    let half = whole.split_to(whole.len() / 2);
    let cut = stream::once(async {
        // So that the first half leaves before the connection does.
        time::sleep(HALF_PAUSE).await;
        Err(ConnectionReset)
    });
    stream::iter([Ok(Frame::data(half))]).chain(cut)
}
