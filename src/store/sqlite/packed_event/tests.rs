use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::*;
use crate::{
    domain::{
        audit::{AuditOperation, Event, EventId},
        time::Timestamp,
    },
    ports::EventIndexFields,
};

/// The frame of an event with this text.
fn pack(text: &str) -> Vec<u8> {
    let event = Event::for_service(AuditOperation::Start, Timestamp::from_secs(1));
    let fields = EventIndexFields {
        id: EventId(uuid::Uuid::now_v7()),
        time: event.time,
        tenant: None,
        kind: "lifecycle",
        action: "Start",
        account: None,
        correlation: event.correlation,
        outcome: None,
        closes: None,
        start: 0,
        len: text.len(),
    };
    let batch = Batch { events: vec![fields], bytes: text.as_bytes().to_vec(), ..Batch::default() };
    let [frame] = Packer::new().pack(&batch).unwrap().try_into().unwrap();
    frame
}

#[test]
fn an_event_is_the_same_after_it_was_compressed() {
    let mut unpacker = Unpacker::new();
    let longest = "\u{e9}".repeat(MAX_TEXT / 2);
    for text in ["", "{}", r#"{"time":1,"class_uid":6003}"#, "not JSON \u{0}", &longest] {
        let frame = pack(text);
        assert_eq!(unpacker.text(b"", Some(&frame)), text);
        assert_eq!(unpacker.text(text.as_bytes(), None), text, "an event of an earlier release");
    }
}

#[test]
fn a_row_that_no_release_writes_is_no_event() {
    let mut unpacker = Unpacker::new();
    let frame = pack("{}");
    let mut other_dictionary = frame.clone();
    other_dictionary[5] ^= 2;
    let plain = zstd::bulk::compress(b"{}", LEVEL).unwrap();
    for (body, packed) in [
        (&b"{}"[..], &frame[..]),
        (b"", b""),
        (b"", b"{}"),
        (b"", &frame[..frame.len() - 1]),
        (b"", &frame[1..]),
        (b"", &other_dictionary),
        (b"", &plain),
    ] {
        assert_eq!(unpacker.text(body, Some(packed)), UNREADABLE, "{body:?} {packed:?}");
    }
    assert_eq!(unpacker.text(b"", Some(&frame)), "{}", "the next event can be read");
}

#[test]
fn a_frame_is_not_decompressed_beyond_the_longest_event() {
    let bomb = {
        let mut compressor = Compressor::with_prepared_dictionary(&ENCODER).unwrap();
        compressor.compress(&vec![b' '; 1 << 28]).unwrap()
    };
    let mut unpacker = Unpacker::new();
    assert_eq!(unpacker.text(b"", Some(&bomb)), UNREADABLE);
    let longer = pack(&" ".repeat(MAX_TEXT + 1));
    assert_eq!(unpacker.text(b"", Some(&longer)), UNREADABLE);
    assert!(unpacker.buffer.capacity() <= MAX_TEXT, "{}", unpacker.buffer.capacity());
}

/// Frames that the first release with this dictionary wrote, in Base64, and their texts.
const STORED: &str = include_str!("stored.tsv");

#[test]
fn events_of_earlier_releases_stay_readable() {
    let mut unpacker = Unpacker::new();
    for line in STORED.lines() {
        let (frame, text) = line.split_once('\t').unwrap();
        let frame = BASE64_STANDARD.decode(frame).unwrap();
        assert_eq!(unpacker.text(b"", Some(&frame)), text);
    }
}
