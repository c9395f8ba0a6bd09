//! The lifetime of connections: keepalive pings, and a graceful end at the maximum age.

use std::time::{Duration, Instant};

use logkey::server::{Config, ConnectionLifetime, ConnectionLimits};
use tokio::{task::JoinSet, time::timeout};

use super::{
    Front, config, front, front_over_tls,
    wire::{
        ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, Wire, call, frame, head,
        reflection_call,
    },
};

/// The longest time that a test waits.
const TIMEOUT: Duration = Duration::from_mins(1);

fn config_with(lifetime: ConnectionLifetime) -> Config {
    Config { lifetime, ..config() }
}

/// The same, with one connection for each address.
fn config_with_one_connection(lifetime: ConnectionLifetime) -> Config {
    let connections = ConnectionLimits { max_per_address: 1, ..ConnectionLimits::default() };
    Config { connections, ..config_with(lifetime) }
}

/// A ping every 100 ms, with this timeout for the answer.
fn lifetime(answer_within: Duration) -> ConnectionLifetime {
    ConnectionLifetime {
        keepalive_interval: Duration::from_millis(100),
        keepalive_timeout: answer_within,
        ..ConnectionLifetime::default()
    }
}

fn is_end_of(stream: u32) -> impl Fn(&Frame) -> bool {
    move |frame| frame.stream == stream && frame.flags & END_STREAM != 0
}

fn is_ping(frame: &Frame) -> bool {
    frame.kind == PING && frame.flags & ACK == 0
}

/// Waits until the server accepts another connection. It allows one for each address, so the first one is
/// closed by then.
async fn until_another_connects(front: &Front) {
    let again = async { while Wire::try_over(front.address, front.tls.as_ref()).await.is_none() {} };
    timeout(TIMEOUT, again).await.unwrap();
}

/// Reads up to the next frame that matches, and answers every ping on the way.
async fn read_and_answer_pings(wire: &mut Wire, matches: impl Fn(&Frame) -> bool) -> Option<Frame> {
    loop {
        let next = timeout(TIMEOUT, wire.read()).await.unwrap()?;
        if is_ping(&next) {
            assert!(wire.write(&frame(PING, ACK, 0, &next.payload)).await);
        }
        if matches(&next) {
            return Some(next);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_no_ping_is_closed_and_frees_its_slot() {
    let front = front(config_with_one_connection(lifetime(Duration::from_millis(300)))).await;
    let mut silent = Wire::open(front.address).await;
    // A call whose body never arrives.
    assert!(silent.write(&frame(HEADERS, END_HEADERS, 1, &head())).await);
    let mut pings = 0;
    let count_pings = async {
        while let Some(frame) = silent.read().await {
            pings += u32::from(is_ping(&frame));
        }
    };
    timeout(TIMEOUT, count_pings).await.expect("the server never closed the connection");
    assert_eq!(pings, 1);
    until_another_connects(&front).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_only_answers_pings_stays_connected() {
    let front = front(config_with(lifetime(Duration::from_secs(20)))).await;
    let mut wire = Wire::open(front.address).await;
    for _ in 0..10 {
        assert!(read_and_answer_pings(&mut wire, is_ping).await.is_some());
    }
    assert!(wire.write(&call(1)).await);
    assert!(read_and_answer_pings(&mut wire, is_end_of(1)).await.is_some());
    drop(wire);
    front.end().await;
}

/// Requests far more data than the socket buffers hold, and reads none of it.
async fn assert_unread_peer_is_closed(front: Front) {
    let mut wire = Wire::over(front.address, front.tls.as_ref()).await;
    for nth in 0..200 {
        if !wire.write(&reflection_call(2 * nth + 1, 20)).await {
            break;
        }
    }
    until_another_connects(&front).await;
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_reads_no_responses_is_closed() {
    assert_unread_peer_is_closed(
        front(config_with_one_connection(lifetime(Duration::from_millis(300)))).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_reads_no_responses_over_tls_is_closed() {
    assert_unread_peer_is_closed(
        front_over_tls(config_with_one_connection(lifetime(Duration::from_millis(300)))).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_gets_goaway_and_its_call_completes() {
    let max_age = Duration::from_millis(300);
    let front = front(config_with(ConnectionLifetime { max_age, ..ConnectionLifetime::default() })).await;
    let mut wire = Wire::open(front.address).await;
    assert!(wire.write(&frame(HEADERS, END_HEADERS, 1, &head())).await);
    let announced = read_and_answer_pings(&mut wire, |frame| frame.kind == GOAWAY).await.unwrap();
    let error = |frame: &Frame| frame.payload.get(4..8).map(<[u8]>::to_vec);
    assert_eq!(error(&announced), Some(vec![0; 4]), "NO_ERROR");
    let last = read_and_answer_pings(&mut wire, |frame| frame.kind == GOAWAY).await.unwrap();
    assert_eq!(last.payload, [0, 0, 0, 1, 0, 0, 0, 0], "calls up to stream 1 are answered");
    // The server ignores a later call; the call in flight completes.
    assert!(wire.write(&call(3)).await);
    assert!(wire.write(&frame(DATA, END_STREAM, 1, &[0; 5])).await);
    let mut response = Vec::new();
    while let Some(frame) = read_and_answer_pings(&mut wire, |_| true).await {
        assert_ne!(frame.stream, 3, "{frame:?}");
        if frame.stream == 1 {
            response.push((frame.kind, frame.flags & END_STREAM != 0));
        }
    }
    assert_eq!(response, [(HEADERS, false), (DATA, false), (HEADERS, true)], "a message and trailers");
    // Callers continue over a new connection.
    let mut wire = Wire::open(front.address).await;
    assert!(wire.write(&call(1)).await);
    assert!(read_and_answer_pings(&mut wire, is_end_of(1)).await.is_some());
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_opened_together_do_not_close_together() {
    let max_age = Duration::from_secs(1);
    let front = front(config_with(ConnectionLifetime { max_age, ..ConnectionLifetime::default() })).await;
    let mut wires = JoinSet::new();
    for _ in 0..20 {
        let (opened, mut wire) = (Instant::now(), Wire::open(front.address).await);
        wires.spawn(async move {
            read_and_answer_pings(&mut wire, |frame| frame.kind == GOAWAY).await.unwrap();
            opened.elapsed()
        });
    }
    let mut ages = wires.join_all().await;
    ages.sort_unstable();
    let (youngest, oldest) = (ages[0], ages[19]);
    assert!(
        youngest >= max_age && oldest >= youngest + max_age / 20,
        "the ages differ by up to a fifth: {ages:?}"
    );
    front.end().await;
}
