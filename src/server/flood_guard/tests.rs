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
        let FloodVerdict::Flood(at) = frames.received(now, &flood) else { panic!("{kind} may flood") };
        assert_eq!(at % (HEADER_LEN + payload), 0);
        assert!(at / (HEADER_LEN + payload) <= 1_002, "{kind}: {at}");
    }
}

#[test]
fn requests_may_be_cancelled_and_the_way_measured_as_often_as_there_are_requests() {
    let now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.received(now, &opening()), FloodVerdict::Fine);
    let call = [frame(1, 4, 40), frame(0, 1, 60), frame(3, 0, 4), frame(6, 0, 8)].concat();
    for _ in 0..100_000 {
        assert_eq!(frames.received(now, &call), FloodVerdict::Fine);
    }
}

#[test]
fn a_ping_for_each_message_that_is_sent_is_no_flood() {
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
fn pings_that_only_earn_their_own_answers_are_a_flood() {
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
fn a_slow_ticking_is_no_flood() {
    let mut now = Instant::now();
    let mut frames = Frames::new(now);
    assert_eq!(frames.received(now, &opening()), FloodVerdict::Fine);
    for _ in 0..100_000 {
        now += Duration::from_millis(10);
        assert_eq!(frames.received(now, &frame(6, 0, 8)), FloodVerdict::Fine);
    }
}

#[test]
fn what_is_not_http2_is_not_watched() {
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
    fn how_the_bytes_are_cut_changes_nothing(cuts in proptest::collection::vec(1..40usize, 1..400)) {
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
        prop_assert_eq!(cut.location, whole.location);
        prop_assert!((cut.credit - whole.credit).abs() < 1e-6);
    }
}
