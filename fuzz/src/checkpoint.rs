//! A checkpoint: only one that the log's key signed is accepted, and only in the format of C2SP
//! tlog-checkpoint.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_STANDARD};
use logkey::audit::checkpoint::read;

const ORIGIN: &str = "logkey.test/audit";
/// The identifier of Ed25519 in the keys of signed notes.
const ED25519: u8 = 1;

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());
static PUBLIC: LazyLock<Vec<u8>> = LazyLock::new(|| [&[ED25519], KEY.public_key().as_ref()].concat());
static KEY_ID: LazyLock<u32> = LazyLock::new(|| signed_note::key_id(ORIGIN, &PUBLIC));
static VERIFIERS: LazyLock<[String; 1]> =
    LazyLock::new(|| [format!("{ORIGIN}+{:08x}+{}", *KEY_ID, BASE64_STANDARD.encode(&*PUBLIC))]);

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    // The input as it is. Only the stored inputs contain a valid signature of the log.
    if let Ok(checkpoint) = read(data, ORIGIN, &*VERIFIERS) {
        let text = data.split(|byte| *byte == b'\n').next().unwrap();
        assert_eq!(text, ORIGIN.as_bytes());
        assert_eq!(checkpoint.origin(), ORIGIN);
    }
    // The input as the text of a note, signed with the log's key: now only the format decides.
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let signature = KEY.sign(text.as_bytes());
    let signature = [&KEY_ID.to_be_bytes()[..], signature.as_ref()].concat();
    let note = format!("{text}\n\u{2014} {ORIGIN} {}\n", BASE64_STANDARD.encode(signature));
    let Ok(checkpoint) = read(note.as_bytes(), ORIGIN, &*VERIFIERS) else { return false };
    let mut lines = text.split('\n');
    assert_eq!(lines.next(), Some(ORIGIN));
    assert_eq!(lines.next(), Some(&*checkpoint.size().to_string()));
    let root = BASE64_STANDARD.decode(lines.next().unwrap()).unwrap();
    assert_eq!(root, checkpoint.hash().0);
    // C2SP signed-note: no control character below U+0020 except the newline.
    assert!(text.ends_with('\n') && !text.contains(|it: char| it < ' ' && it != '\n'));
    true
}
