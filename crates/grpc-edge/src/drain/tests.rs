use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures_util::stream;
use http_body_util::StreamBody;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::*;

const CHUNK: usize = 64 * 1024;

/// A body that never ends, one chunk after each delay, and the number of chunks that were read.
fn endless(delay: Duration) -> (Body, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let chunks = stream::unfold((), move |()| {
        let counter = Arc::clone(&counter);
        async move {
            sleep(delay).await;
            counter.fetch_add(1, Relaxed);
            Some((Ok::<_, Status>(Frame::data(Bytes::from(vec![0; CHUNK]))), ()))
        }
    });
    (Body::new(StreamBody::new(chunks)), read)
}

/// Sends a request to a service that answers without reading.
async fn answer_early(version: Version, expect: Option<&str>, body: Body) {
    let mut service = DrainLayer.layer(service_fn(|_request: Request<Body>| async {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let mut request = Request::builder().version(version);
    if let Some(expect) = expect {
        request = request.header(EXPECT, expect);
    }
    service.call(request.body(body).unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endless_body_is_read_up_to_the_bound() {
    let (body, read) = endless(Duration::ZERO);
    answer_early(Version::HTTP_11, None, body).await;
    assert_eq!(read.load(Relaxed), MAX_DISCARDED / CHUNK + 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_delays_the_answer_up_to_the_timeout() {
    let (body, _read) = endless(Duration::from_mins(1));
    let start = Instant::now();
    answer_early(Version::HTTP_11, None, body).await;
    assert_eq!(start.elapsed(), DRAIN_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_left_if_the_client_waits_or_the_version_has_streams() {
    for (version, expect) in [(Version::HTTP_11, Some("100-continue")), (Version::HTTP_2, None)] {
        let (body, read) = endless(Duration::ZERO);
        answer_early(version, expect, body).await;
        assert_eq!(read.load(Relaxed), 0, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_a_client_was_asked_for_is_read() {
    let mut service = DrainLayer.layer(service_fn(|mut request: Request<Body>| async move {
        request.body_mut().frame().await.unwrap().unwrap();
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let (body, read) = endless(Duration::ZERO);
    let request = Request::builder().version(Version::HTTP_11).header(EXPECT, "100-continue");
    service.call(request.body(body).unwrap()).await.unwrap();
    assert_eq!(read.load(Relaxed), MAX_DISCARDED / CHUNK + 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_read_to_its_end_is_not_read_again() {
    let mut service = DrainLayer.layer(service_fn(|request: Request<Body>| async move {
        request.into_body().collect().await.unwrap();
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    // This stream panics if it is read after its end.
    let chunks = stream::unfold(Some(()), |left| async move {
        left.map(|()| (Ok::<_, Status>(Frame::data(Bytes::from_static(b"x"))), None))
    });
    let request = Request::builder().version(Version::HTTP_11);
    service.call(request.body(Body::new(StreamBody::new(chunks))).unwrap()).await.unwrap();
}
