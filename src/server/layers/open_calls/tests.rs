//! The bounds of calls without a token, in paused time.

use std::future::poll_fn;

use tokio::time::Instant;

use super::*;

/// The trailers of a body that sends nothing else.
async fn trailers(mut body: BoundedBody) -> Option<HeaderMap> {
    let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await?.ok()?;
    frame.into_trailers().ok()
}

/// A body that never ends, as that of a stream without news.
struct Endless;

impl HttpBody for Endless {
    type Data = <Body as HttpBody>::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        Poll::Pending
    }
}

fn address(number: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(number).into()
}

#[test]
fn calls_are_bounded_per_connection_per_address_and_in_all() {
    let calls = OpenCalls::default();
    let of_connection: Vec<_> =
        (0..100).filter_map(|_| calls.try_acquire(Some(address(1)), Some(1))).collect();
    assert_eq!(of_connection.len(), MAX_OF_CONNECTION);
    let of_address: Vec<_> =
        (2..1_000).filter_map(|id| calls.try_acquire(Some(address(1)), Some(id))).collect();
    assert_eq!(of_address.len() + of_connection.len(), MAX_OF_ADDRESS);
    let others: Vec<_> =
        (2..4_000).filter_map(|n| calls.try_acquire(Some(address(n)), Some(9_000))).collect();
    assert_eq!(others.len(), MAX_OF_CONNECTION, "one connection behind many addresses of a proxy");
    let rest: Vec<_> = (0..4_000)
        .filter_map(|n| calls.try_acquire(Some(address(n + 2)), Some(10_000 + u64::from(n))))
        .collect();
    assert_eq!(rest.len() + others.len() + of_address.len() + of_connection.len(), MAX_OPEN);
    drop((of_connection, of_address, others, rest));
    let open = calls.open.lock();
    assert_eq!((open.in_all, open.by_address.len(), open.by_connection.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_age_with_a_status_and_frees_its_slot() {
    let calls = OpenCalls::default();
    let slot = calls.try_acquire(Some(address(1)), Some(1)).unwrap();
    let body = BoundedBody::new(Body::new(Endless), slot);
    let opened = Instant::now();
    let trailers = trailers(body).await.unwrap();
    assert_eq!(opened.elapsed().as_secs(), MAX_AGE.as_secs());
    assert_eq!(trailers["grpc-status"], "14");
    assert_eq!(calls.open.lock().in_all, 0);
}
