//! Response bodies that a fault changes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryFutureExt as _, stream};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame};
use tokio::time;

use crate::{
    fault::{plan::FaultPlan, spec::Effect},
    wire::{
        answer,
        body::{Body, ConnectionReset},
    },
};

const HALF_PAUSE: Duration = Duration::from_millis(5);

/// A response with status 200 and meaningless bytes.
pub(super) fn malformed_body(request_id: &str) -> Response<Body> {
    let bytes = Bytes::from_static(b"\x00\xff<{\"garbage\":");
    answer::response("application/octet-stream", StatusCode::OK, bytes, request_id)
}

/// Slows or truncates the response if a fault says so. `Content-Length` is the full length in both cases.
pub(super) fn shape(response: Response<Body>, plan: &FaultPlan) -> Response<Body> {
    let stages = [&plan.before, &plan.after].into_iter().flatten();
    for effect in stages {
        match effect {
            Effect::Drip { bytes, every_ms } => {
                let interval = Duration::from_millis(*every_ms);
                let size = (*bytes).max(1);
                return replace_body(response, move |whole| trickle(whole, size, interval));
            }
            Effect::Truncate => return replace_body(response, two_chunks),
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

fn replace_body<S>(
    response: Response<Body>,
    transform: impl FnOnce(Bytes) -> S + Send + 'static,
) -> Response<Body>
where
    S: Stream<Item = Result<Frame<Bytes>, ConnectionReset>> + Send + 'static,
{
    let (mut parts, body) = response.into_parts();
    let length = body.size_hint().exact().unwrap_or(0);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let frames = async move {
        body.collect().await.map(|whole| transform(whole.to_bytes())).map_err(|_error| ConnectionReset)
    };
    let frames = frames.try_flatten_stream();
    Response::from_parts(parts, Either::Right(UnsyncBoxBody::new(StreamBody::new(frames))))
}

fn trickle(
    whole: Bytes,
    size: usize,
    interval: Duration,
) -> impl Stream<Item = Result<Frame<Bytes>, ConnectionReset>> {
    stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        time::sleep(interval).await;
        let next = rest.split_to(size.min(rest.len()));
        Some((Ok(Frame::data(next)), rest))
    })
}

fn two_chunks(mut whole: Bytes) -> impl Stream<Item = Result<Frame<Bytes>, ConnectionReset>> {
    let half = whole.split_to(whole.len() / 2);
    let cut = stream::once(async {
        // Let the first half leave before the connection is reset.
        time::sleep(HALF_PAUSE).await;
        Err(ConnectionReset)
    });
    stream::iter([Ok(Frame::data(half))]).chain(cut)
}
