//! Floods of frames that cause work without being a request.

mod beside;

use std::time::{Duration, Instant};

use super::{Front, config, front, front_over_tls, good_calls_go_on, wire::*};

/// Returns the next bytes of a flood.
type Flooding = Box<dyn FnMut() -> Vec<u8> + Send>;

fn pings() -> Flooding {
    Box::new(|| frame(PING, 0, 0, &[7; 8]).repeat(100))
}

fn settings() -> Flooding {
    Box::new(|| frame(SETTINGS, 0, 0, &[]).repeat(100))
}

fn empty_data() -> Flooding {
    let mut open = Some(frame(HEADERS, END_HEADERS, 1, &head()));
    Box::new(move || {
        let mut bytes = open.take().unwrap_or_default();
        bytes.extend(frame(DATA, 0, 1, &[]).repeat(100));
        bytes
    })
}

fn endless_headers() -> Flooding {
    let mut open = Some(frame(HEADERS, 0, 1, &head()));
    let mut more = vec![0, 100];
    more.extend([b'x'; 100]);
    more.push(100);
    more.extend([b'y'; 100]);
    Box::new(move || {
        let mut bytes = open.take().unwrap_or_default();
        bytes.extend(frame(CONTINUATION, 0, 1, &more).repeat(10));
        bytes
    })
}

fn rapid_resets() -> Flooding {
    let mut stream = 1;
    Box::new(move || {
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &head()));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
        }
        bytes
    })
}

/// CVE-2025-8671: the client makes the server reset streams.
fn provoked_resets() -> Flooding {
    let mut stream = 1;
    Box::new(move || {
        let mut bytes = Vec::new();
        for _ in 0..20 {
            bytes.extend(frame(HEADERS, END_HEADERS, stream, &head()));
            bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
            stream += 2;
        }
        bytes
    })
}

async fn assert_ends_connection(front: &Front, next: impl FnMut() -> Vec<u8> + Send + 'static) {
    let wire = Wire::over(front.address, front.tls.as_ref()).await;
    let start = Instant::now();
    let goaway = wire.flood(next).await;
    assert!(goaway.is_some_and(|error| error != 0), "no GOAWAY with an error: {goaway:?}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_carry_the_limits() {
    let front = front(config()).await;
    let wire = Wire::open(front.address).await;
    let setting = |id| wire.settings.iter().find(|(other, _)| *other == id).map(|(_, value)| *value);
    assert_eq!(setting(3), Some(256), "MAX_CONCURRENT_STREAMS");
    assert_eq!(setting(6), Some(96 * 1024), "MAX_HEADER_LIST_SIZE");
    assert_eq!(setting(4), Some(1024 * 1024), "INITIAL_WINDOW_SIZE");
    assert!(setting(5).is_none_or(|size| size == 16 * 1024), "MAX_FRAME_SIZE");
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_pings_settings_and_priorities_end_the_connection() {
    let front = front(config()).await;
    assert_ends_connection(&front, pings()).await;
    assert_ends_connection(&front, settings()).await;
    assert_ends_connection(&front, || frame(2, 0, 1, &[0; 5]).repeat(100)).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_over_tls_end_the_connection() {
    let front = front_over_tls(config()).await;
    assert_ends_connection(&front, pings()).await;
    assert_ends_connection(&front, settings()).await;
    assert_ends_connection(&front, rapid_resets()).await;
    assert_ends_connection(&front, empty_data()).await;
    good_calls_go_on(&front).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_empty_data_ends_the_connection() {
    let front = front(config()).await;
    assert_ends_connection(&front, empty_data()).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_block_without_end_ends_the_connection() {
    let front = front(config()).await;
    assert_ends_connection(&front, endless_headers()).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let front = front(config()).await;
    assert_ends_connection(&front, rapid_resets()).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_that_the_client_provokes_end_the_connection() {
    let front = front(config()).await;
    assert_ends_connection(&front, provoked_resets()).await;
    front.end().await;
}

/// The number of attempts before a slow measurement fails the test: noise is temporary.
const SERIES: usize = 5;

/// Makes 2,000 calls, 20 every 10 ms, and cancels every other call.
async fn cancel_half_of_two_thousand(wire: &mut Wire, stream: &mut u32) {
    let mut interval = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..100 {
        interval.tick().await;
        let mut bytes = Vec::new();
        for nth in 0..20 {
            bytes.extend(call(*stream));
            if nth % 2 == 0 {
                bytes.extend(frame(RST_STREAM, 0, *stream, &8_u32.to_be_bytes()));
            }
            *stream += 2;
        }
        assert!(wire.write(&bytes).await);
        let last = *stream - 2;
        let response = wire.until(|frame| {
            assert_ne!(frame.kind, GOAWAY);
            frame.stream == last && frame.kind == HEADERS && frame.flags & END_STREAM != 0
        });
        assert!(response.await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cancels_1000_calls_a_second_stays_connected() {
    let front = front(config()).await;
    let mut wire = Wire::open(front.address).await;
    let mut stream = 1;
    // If the machine is too busy for this rate, repeat as fast as possible.
    for _ in 0..SERIES {
        let start = Instant::now();
        cancel_half_of_two_thousand(&mut wire, &mut stream).await;
        if start.elapsed() <= Duration::from_millis(1_100) {
            break;
        }
    }
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_the_stream_limit_is_refused_and_the_others_continue() {
    let front = front(config()).await;
    let mut wire = Wire::open(front.address).await;
    // 257 calls whose bodies have not arrived.
    let heads: Vec<u8> = (0..257).flat_map(|nth| frame(HEADERS, END_HEADERS, 2 * nth + 1, &head())).collect();
    assert!(wire.write(&heads).await);
    let reset = wire.until(|frame| frame.kind == RST_STREAM || frame.kind == GOAWAY).await.unwrap();
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 513));
    assert_eq!(reset.payload, 7_u32.to_be_bytes(), "REFUSED_STREAM: the client may send it again");
    assert!(wire.write(&frame(DATA, END_STREAM, 1, &[0; 5])).await);
    assert!(wire.until(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0).await.is_some());
    assert!(wire.write(&call(515)).await);
    assert!(wire.until(|frame| frame.stream == 515 && frame.flags & END_STREAM != 0).await.is_some());
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_too_long_ends_its_connection() {
    let front = front(config()).await;
    let mut wire = Wire::open(front.address).await;
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &head());
    bytes.extend(frame(DATA, 0, 1, &vec![0; 16 * 1024 + 1]));
    assert!(wire.write(&bytes).await);
    let goaway = wire.until(|frame| frame.kind == GOAWAY).await.unwrap();
    assert_eq!(goaway.payload.get(4..8), Some(6_u32.to_be_bytes().as_slice()), "FRAME_SIZE_ERROR");
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_over_the_list_size_end_only_their_call() {
    let front = front(config()).await;
    let mut wire = Wire::open(front.address).await;
    // The header counts as 232 bytes in the list; 450 of them are more than 96 KiB.
    let mut more = vec![0, 100];
    more.extend([b'x'; 100]);
    more.push(100);
    more.extend([b'y'; 100]);
    let mut bytes = frame(HEADERS, 0, 1, &head());
    for nth in 0..6 {
        let flags = if nth == 5 { END_HEADERS } else { 0 };
        bytes.extend(frame(CONTINUATION, flags, 1, &more.repeat(75)));
    }
    assert!(wire.write(&bytes).await);
    let finished = wire.until(|frame| frame.stream == 1 || frame.kind == GOAWAY).await.unwrap();
    // The response is only the HTTP status 431: the call reached no layer of the service.
    assert_eq!((finished.kind, finished.flags & END_STREAM), (HEADERS, END_STREAM));
    assert!(finished.payload.len() < 10, "{finished:?}");
    assert!(wire.write(&call(3)).await);
    assert!(wire.until(|frame| frame.stream == 3 && frame.flags & END_STREAM != 0).await.is_some());
    drop(wire);
    front.end().await;
}
