//! Frames that ask for work without being a request.

mod beside;

use std::time::{Duration, Instant};

use super::{Front, config, front, front_over_tls, good_calls_go_on, wire::*};

/// What a flooder writes next.
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

/// CVE-2025-8671: the client makes the server reset.
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

async fn is_ended(front: &Front, next: impl FnMut() -> Vec<u8> + Send + 'static) {
    let wire = Wire::over(front.address, front.tls.as_ref()).await;
    let start = Instant::now();
    let goodbye = wire.flood(next).await;
    assert!(goodbye.is_some_and(|error| error != 0), "no GOAWAY with an error: {goodbye:?}");
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
async fn floods_of_pings_settings_and_priorities_are_ended() {
    let front = front(config()).await;
    is_ended(&front, pings()).await;
    is_ended(&front, settings()).await;
    is_ended(&front, || frame(2, 0, 1, &[0; 5]).repeat(100)).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_ended_over_tls_too() {
    let front = front_over_tls(config()).await;
    is_ended(&front, pings()).await;
    is_ended(&front, settings()).await;
    is_ended(&front, rapid_resets()).await;
    is_ended(&front, empty_data()).await;
    good_calls_go_on(&front).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_empty_data_is_ended() {
    let front = front(config()).await;
    is_ended(&front, empty_data()).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_block_without_end_is_ended() {
    let front = front(config()).await;
    is_ended(&front, endless_headers()).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_are_ended() {
    let front = front(config()).await;
    is_ended(&front, rapid_resets()).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_that_the_client_provokes_are_ended() {
    let front = front(config()).await;
    is_ended(&front, provoked_resets()).await;
    front.end().await;
}

/// How often it may seem that a flood holds others up, or that the machine is too slow: noise passes.
const SERIES: usize = 5;

/// Two thousand calls, twenty each hundredth of a second, of which the client cancels every other one.
async fn cancel_half_of_two_thousand(wire: &mut Wire, stream: &mut u32) {
    let mut beats = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..100 {
        beats.tick().await;
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
async fn a_client_that_cancels_half_of_its_calls_at_2000_a_second_stays_connected() {
    let front = front(config()).await;
    let mut wire = Wire::open(front.address).await;
    let mut stream = 1;
    // A machine that is too busy for that many a second has more of them, as fast as it can.
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
async fn the_call_after_the_most_streams_is_refused_and_those_before_it_go_on() {
    let front = front(config()).await;
    let mut wire = Wire::open(front.address).await;
    // 257 calls whose bodies do not come yet.
    let heads: Vec<u8> = (0..257).flat_map(|nth| frame(HEADERS, END_HEADERS, 2 * nth + 1, &head())).collect();
    assert!(wire.write(&heads).await);
    let reset = wire.until(|frame| frame.kind == RST_STREAM || frame.kind == GOAWAY).await.unwrap();
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 513));
    assert_eq!(reset.payload, 7_u32.to_be_bytes(), "REFUSED_STREAM: it may be sent again");
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
    let goodbye = wire.until(|frame| frame.kind == GOAWAY).await.unwrap();
    assert_eq!(goodbye.payload.get(4..8), Some(6_u32.to_be_bytes().as_slice()), "FRAME_SIZE_ERROR");
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_over_the_list_size_end_their_call_alone() {
    let front = front(config()).await;
    let mut wire = Wire::open(front.address).await;
    // 232 bytes, as the list is counted; 450 of them are more than 96 KiB.
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
    // A status of HTTP (431) and nothing else: no layer of ours has seen the call.
    assert_eq!((finished.kind, finished.flags & END_STREAM), (HEADERS, END_STREAM));
    assert!(finished.payload.len() < 10, "{finished:?}");
    assert!(wire.write(&call(3)).await);
    assert!(wire.until(|frame| frame.stream == 3 && frame.flags & END_STREAM != 0).await.is_some());
    drop(wire);
    front.end().await;
}
