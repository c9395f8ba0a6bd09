use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let length = u32::try_from(payload).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    bytes.resize(HEADER_LEN + payload, 0xAA);
    bytes
}

fn opening() -> Vec<u8> {
    [PREFACE.as_slice(), &frame(4, 0, 18)].concat()
}

#[test]
fn a_flood_is_ended_at_the_start_of_a_frame() {
    for (kind, payload) in [(6, 8), (4, 0), (0, 0), (2, 5), (9, 1), (0xFA, 3)] {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        assert_eq!(frames.received(now, &opening()), FloodVerdict::Fine);
        let flood = frame(kind, 0, payload).repeat(5_000);
        let FloodVerdict::Flood(at) = frames.received(now, &flood) else {
            panic!("frames of type {kind} may flood")
        };
        assert_eq!(at % (HEADER_LEN + payload), 0);
        assert!(at / (HEADER_LEN + payload) <= 1_002, "{kind}: {at}");
    }
}

#[test]
fn every_request_may_be_cancelled_and_pinged() {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.received(now, &opening()), FloodVerdict::Fine);
    let call = [frame(1, 4, 40), frame(0, 1, 60), frame(3, 0, 4), frame(6, 0, 8)].concat();
    for _ in 0..100_000 {
        assert_eq!(frames.received(now, &call), FloodVerdict::Fine);
    }
}

#[test]
fn a_ping_per_sent_message_is_not_a_flood() {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.received(now, &opening()), FloodVerdict::Fine);
    for _ in 0..100_000 {
        frames.sent(250);
        assert_eq!(frames.received(now, &frame(6, 0, 8)), FloodVerdict::Fine);
        frames.sent(17);
    }
}

#[test]
fn pings_that_earn_only_their_acknowledgements_are_a_flood() {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.received(now, &opening()), FloodVerdict::Fine);
    let is_flood = (0..3_000).any(|_| {
        frames.sent(17);
        frames.received(now, &frame(6, 0, 8)) != FloodVerdict::Fine
    });
    assert!(is_flood);
}

#[test]
fn slow_pings_are_not_a_flood() {
    let mut now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.received(now, &opening()), FloodVerdict::Fine);
    for _ in 0..100_000 {
        now += Duration::from_millis(10);
        assert_eq!(frames.received(now, &frame(6, 0, 8)), FloodVerdict::Fine);
    }
}

#[test]
fn a_connection_without_http2_is_not_parsed() {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.received(now, b"PRI"), FloodVerdict::Fine);
    assert!(!frames.protocol_known());
    assert_eq!(frames.received(now, b"NT / HTTP/1.1\r\n"), FloodVerdict::Fine);
    assert!(frames.protocol_known());
    assert_eq!(frames.received(now, &frame(6, 0, 8).repeat(5_000)), FloodVerdict::Fine);
}

proptest! {
    #[test]
    fn splitting_the_bytes_differently_changes_nothing(cuts in proptest::collection::vec(1..40usize, 1..400)) {
        let now = Instant::now();
        let mix = [opening(), [frame(6, 0, 8), frame(0, 0, 100), frame(8, 0, 4), frame(4, 1, 0)].concat().repeat(50)];
        let bytes = mix.concat();
        let mut whole = Frames::new(now);
        prop_assert_eq!(whole.received(now, &bytes), FloodVerdict::Fine);
        let mut cut = Frames::new(now);
        let mut rest = bytes.as_slice();
        for size in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            prop_assert_eq!(cut.received(now, piece), FloodVerdict::Fine);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(cut.state, whole.state);
        prop_assert!((cut.credit - whole.credit).abs() < 1e-6);
    }
}
