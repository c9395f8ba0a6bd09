//! How long connections stand: asked whether they live, and sent away when they are of age.

use std::time::{Duration, Instant};

use logkey::server::{Config, ConnectionLifetime, connection_limits::ConnectionLimits};
use tokio::{task::JoinSet, time::timeout};

use super::{
    Front, config, front, front_over_tls,
    wire::{
        ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, Wire, call, frame, head, reflected,
    },
};

/// Ends a test that would never end.
const TIMEOUT: Duration = Duration::from_mins(1);

fn lasting(lifetime: ConnectionLifetime) -> Config {
    Config { lifetime, ..config() }
}

/// One at a time.
fn alone(lifetime: ConnectionLifetime) -> Config {
    let connections = ConnectionLimits { max_per_address: 1, ..ConnectionLimits::default() };
    Config { connections, ..lasting(lifetime) }
}

/// Asked often, with this long to answer.
fn lifetime(answer_within: Duration) -> ConnectionLifetime {
    ConnectionLifetime {
        keepalive_interval: Duration::from_millis(100),
        keepalive_timeout: answer_within,
        ..ConnectionLifetime::default()
    }
}

fn ends(stream: u32) -> impl Fn(&Frame) -> bool {
    move |frame| frame.stream == stream && frame.flags & END_STREAM != 0
}

fn is_ping(frame: &Frame) -> bool {
    frame.kind == PING && frame.flags & ACK == 0
}

/// Where one connection of an address may stand: until the one that stood is no more.
async fn until_another_gets_in(front: &Front) {
    let again = async { while Wire::try_over(front.address, front.tls.as_ref()).await.is_none() {} };
    timeout(TIMEOUT, again).await.unwrap();
}

/// The next frame that fits, with every question on the way there answered.
async fn answering(wire: &mut Wire, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
    loop {
        let next = timeout(TIMEOUT, wire.read()).await.unwrap()?;
        if is_ping(&next) {
            assert!(wire.write(&frame(PING, ACK, 0, &next.payload)).await);
        }
        if fits(&next) {
            return Some(next);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_say_that_it_lives_is_put_out_and_its_place_is_given_back() {
    let front = front(alone(lifetime(Duration::from_millis(300)))).await;
    let mut silent = Wire::open(front.address).await;
    // A call of which the body never comes.
    assert!(silent.write(&frame(HEADERS, END_HEADERS, 1, &head())).await);
    let mut questions = 0;
    let monitored = async {
        while let Some(frame) = silent.read().await {
            questions += u32::from(is_ping(&frame));
        }
    };
    timeout(TIMEOUT, monitored).await.expect("it is never put out");
    assert_eq!(questions, 1);
    until_another_gets_in(&front).await;
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_says_that_it_lives_stays_although_it_says_nothing_else() {
    let front = front(lasting(lifetime(Duration::from_secs(20)))).await;
    let mut wire = Wire::open(front.address).await;
    for _ in 0..10 {
        assert!(answering(&mut wire, is_ping).await.is_some());
    }
    assert!(wire.write(&call(1)).await);
    assert!(answering(&mut wire, ends(1)).await.is_some());
    drop(wire);
    front.end().await;
}

/// Asks for far more than the system keeps for it, and takes none of it.
async fn takes_nothing(front: Front) {
    let mut wire = Wire::over(front.address, front.tls.as_ref()).await;
    for nth in 0..200 {
        if !wire.write(&reflected(2 * nth + 1, 20)).await {
            break;
        }
    }
    until_another_gets_in(&front).await;
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_nothing_of_what_it_asked_for_is_put_out() {
    takes_nothing(front(alone(lifetime(Duration::from_millis(300)))).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_nothing_over_tls_is_put_out_too() {
    takes_nothing(front_over_tls(alone(lifetime(Duration::from_millis(300)))).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_of_age_is_told_so_and_its_call_under_way_is_answered() {
    let max_age = Duration::from_millis(300);
    let front = front(lasting(ConnectionLifetime { max_age, ..ConnectionLifetime::default() })).await;
    let mut wire = Wire::open(front.address).await;
    assert!(wire.write(&frame(HEADERS, END_HEADERS, 1, &head())).await);
    let announced = answering(&mut wire, |frame| frame.kind == GOAWAY).await.unwrap();
    let error = |frame: &Frame| frame.payload.get(4..8).map(<[u8]>::to_vec);
    assert_eq!(error(&announced), Some(vec![0; 4]), "NO_ERROR");
    let last = answering(&mut wire, |frame| frame.kind == GOAWAY).await.unwrap();
    assert_eq!(last.payload, [0, 0, 0, 1, 0, 0, 0, 0], "calls up to the first are answered");
    // One that comes later is not looked at; the one under way ends as it would have.
    assert!(wire.write(&call(3)).await);
    assert!(wire.write(&frame(DATA, END_STREAM, 1, &[0; 5])).await);
    let mut response = Vec::new();
    while let Some(frame) = answering(&mut wire, |_| true).await {
        assert_ne!(frame.stream, 3, "{frame:?}");
        if frame.stream == 1 {
            response.push((frame.kind, frame.flags & END_STREAM != 0));
        }
    }
    assert_eq!(response, [(HEADERS, false), (DATA, false), (HEADERS, true)], "a message, and trailers");
    // Callers go on over a new connection.
    let mut wire = Wire::open(front.address).await;
    assert!(wire.write(&call(1)).await);
    assert!(answering(&mut wire, ends(1)).await.is_some());
    drop(wire);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_came_together_do_not_go_together() {
    let max_age = Duration::from_secs(1);
    let front = front(lasting(ConnectionLifetime { max_age, ..ConnectionLifetime::default() })).await;
    let mut wires = JoinSet::new();
    for _ in 0..20 {
        let (opened, mut wire) = (Instant::now(), Wire::open(front.address).await);
        wires.spawn(async move {
            answering(&mut wire, |frame| frame.kind == GOAWAY).await.unwrap();
            opened.elapsed()
        });
    }
    let mut ages = wires.join_all().await;
    ages.sort_unstable();
    let (youngest, oldest) = (ages[0], ages[19]);
    assert!(youngest >= max_age && oldest >= youngest + max_age / 20, "of up to a fifth: {ages:?}");
    front.end().await;
}
