use std::fs;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use signed_note::Note;
use tlog_tiles::Hash;

use super::{note::MAX_NOTE, *};

const ORIGIN: &str = "logkey.example/audit";

fn key(fill: u8) -> SigningKey {
    SigningKey::from_seed(&[fill; 32], ORIGIN).unwrap()
}

fn checkpoint(text: &str, keys: &[&SigningKey]) -> Vec<u8> {
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    let signers: Vec<&dyn signed_note::Signer> = keys.iter().map(|key| key.signer()).collect();
    note.add_sigs(&signers).unwrap();
    note.to_bytes()
}

fn text(size: &str) -> String {
    format!("{ORIGIN}\n{size}\n{}\n", BASE64_STANDARD.encode([7; 32]))
}

fn check(note: &[u8]) -> Result<u64, CheckpointError> {
    read(note, ORIGIN, &[key(1).verifier().to_owned()]).map(|checkpoint| checkpoint.size())
}

#[test]
fn a_signed_checkpoint_is_read_back() {
    let note = key(1).sign(12, Hash([9; 32]), None).unwrap();
    let read = read(note.as_bytes(), ORIGIN, &[key(1).verifier().to_owned()]).unwrap();
    assert_eq!((read.size(), read.hash().0), (12, [9; 32]));
}

#[test]
fn a_key_is_created_once_and_only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = default_key_path(&dir.path().join("logkey.db"));
    let created = SigningKey::open_or_create(&path, ORIGIN).unwrap();
    let again = SigningKey::open_or_create(&path, ORIGIN).unwrap();
    assert_eq!(created.verifier(), again.verifier());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&path, "nonsense").unwrap();
    assert!(matches!(SigningKey::open_or_create(&path, ORIGIN), Err(KeyError::Form { .. })));
    assert!(matches!(SigningKey::open(&dir.path().join("none"), ORIGIN), Err(KeyError::File { .. })));
    assert!(SigningKey::from_seed(&[1; 32], "two words").is_none());
}

#[test]
fn only_the_canonical_spelling_of_a_size_is_read() {
    assert_eq!(check(&checkpoint(&text("12"), &[&key(1)])).unwrap(), 12);
    for size in ["012", "+12", "-1", "", " 12", "12 ", "1e3", "0x1", "18446744073709551616"] {
        assert!(check(&checkpoint(&text(size), &[&key(1)])).is_err(), "{size:?}");
    }
}

#[test]
fn a_note_that_is_cut_or_has_control_characters_is_rejected() {
    let whole = checkpoint(&text("12"), &[&key(1)]);
    assert!(check(whole.strip_suffix(b"\n").unwrap()).is_err(), "missing newline");
    for (from, to) in [("\n12\n", "\n12\r\n"), ("\n12\n", "\n1\x002\n"), ("\n12\n", "\n\t12\n")] {
        let changed = String::from_utf8(whole.clone()).unwrap().replacen(from, to, 1);
        assert!(check(changed.as_bytes()).is_err(), "{to:?}");
    }
    assert!(check(b"").is_err());
    assert!(check(&vec![b'a'; MAX_NOTE + 1]).is_err());
}

#[test]
fn only_a_valid_signature_of_a_trusted_key_counts() {
    let text = text("12");
    let both = checkpoint(&text, &[&key(2), &key(1)]);
    assert_eq!(check(&both).unwrap(), 12, "an additional signature of an unknown key does no harm");
    assert!(check(&checkpoint(&text, &[&key(2)])).is_err(), "only an unknown key signed");
    // A bad signature of a trusted key invalidates the note, even with a good one of an unknown key.
    let other = String::from_utf8(checkpoint(&text.replace("12", "13"), &[&key(1)])).unwrap();
    let bad = other.lines().last().unwrap();
    let spoiled = format!("{}{bad}\n", String::from_utf8(checkpoint(&text, &[&key(2)])).unwrap());
    assert!(matches!(check(spoiled.as_bytes()), Err(CheckpointError::Signature(_))));
    let mut many = String::from_utf8(both).unwrap();
    for _ in 0..200 {
        let (_, unknown) = key_and_signature(3);
        many.push_str(&unknown);
    }
    assert!(check(many.as_bytes()).is_err(), "too many signatures");
}

#[test]
fn a_root_is_one_hash_in_base64_and_extension_lines_may_follow() {
    let root = |root: &str| check(&checkpoint(&format!("{ORIGIN}\n12\n{root}\n"), &[&key(1)]));
    let whole = BASE64_STANDARD.encode([7; 32]);
    assert_eq!(root(&whole).unwrap(), 12);
    let bare = whole.trim_end_matches('=');
    for bad in [&BASE64_STANDARD.encode([7; 31]), &BASE64_STANDARD.encode([7; 33]), bare, "", "not base64"] {
        assert!(root(bad).is_err(), "{bad:?}");
    }
    assert_eq!(root(&format!("{whole}\nan extension\nanother one")).unwrap(), 12);
    assert!(check(&checkpoint(&format!("{ORIGIN}\n12\n"), &[&key(1)])).is_err(), "without a root");
}

#[test]
fn a_bad_signature_of_a_trusted_key_invalidates_a_good_one() {
    let both = [key(1).verifier().to_owned(), key(2).verifier().to_owned()];
    let good = checkpoint(&text("12"), &[&key(2)]);
    assert!(read(&good, ORIGIN, &both).is_ok());
    let other = String::from_utf8(checkpoint(&text("13"), &[&key(1)])).unwrap();
    let spoiled = format!("{}{}\n", String::from_utf8(good).unwrap(), other.lines().last().unwrap());
    assert!(matches!(read(spoiled.as_bytes(), ORIGIN, &both), Err(CheckpointError::Signature(_))));
}

fn key_and_signature(fill: u8) -> (SigningKey, String) {
    let key = key(fill);
    let note = String::from_utf8(checkpoint(&text("12"), &[&key])).unwrap();
    let line = format!("{}\n", note.lines().last().unwrap());
    (key, line)
}

#[test]
fn a_checkpoint_of_another_log_is_rejected() {
    let other = "other.example/log";
    let theirs = SigningKey::from_seed(&[1; 32], other).unwrap();
    let note = theirs.sign(5, Hash([1; 32]), None).unwrap();
    let read = read(note.as_bytes(), ORIGIN, &[theirs.verifier().to_owned()]);
    assert!(matches!(read, Err(CheckpointError::Origin(name)) if name == other));
}

#[test]
fn a_partial_key_file_left_by_a_crash_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = default_key_path(&dir.path().join("logkey.db"));
    fs::write(format!("{}.new", path.display()), "-----BEGIN PRIV").unwrap();
    SigningKey::open_or_create(&path, ORIGIN).unwrap();
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(names.collect::<Vec<_>>(), [path]);
}

#[test]
fn a_key_file_that_was_cut_anywhere_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    SigningKey::open_or_create(&path, ORIGIN).unwrap();
    SigningKey::rotate(&path, ORIGIN).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let first = whole.find("-----END PRIVATE KEY-----\n").unwrap() + 26;
    // A file that ends right after the first block looks like one key.
    for length in (0..whole.trim_end().len()).filter(|length| !(first - 1..=first).contains(length)) {
        fs::write(&path, whole.get(..length).unwrap()).unwrap();
        assert!(matches!(SigningKey::open(&path, ORIGIN), Err(KeyError::Form { .. })), "{length}");
    }
}

#[test]
fn a_new_key_and_the_old_one_both_sign_until_the_old_one_is_removed() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let old = SigningKey::open_or_create(&path, ORIGIN).unwrap();
    let both = SigningKey::rotate(&path, ORIGIN).unwrap();
    assert_ne!(both.verifier(), old.verifier());
    assert_eq!(both.verifiers()[1], old.verifier());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let note = both.sign(3, Hash([9; 32]), None).unwrap();
    for verifier in both.verifiers() {
        assert_eq!(read(note.as_bytes(), ORIGIN, &[verifier]).unwrap().size(), 3);
    }
    assert!(matches!(SigningKey::rotate(&path, ORIGIN), Err(KeyError::TakingOver { .. })));
    let new = SigningKey::drop_previous(&path, ORIGIN).unwrap();
    assert_eq!(new.verifiers(), [both.verifier()]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    let alone = new.sign(3, Hash([9; 32]), None).unwrap();
    assert!(read(alone.as_bytes(), ORIGIN, &[old.verifier().to_owned()]).is_err());
}

#[test]
fn a_checkpoint_says_after_which_event_its_log_has_the_current_format() {
    let key = key(1);
    let read_note = |note: &str| read(note.as_bytes(), key.origin(), &key.verifiers()).unwrap();
    let note = key.sign(12, Hash([9; 32]), Some(7)).unwrap();
    assert_eq!(note.lines().nth(3), Some("logkey-format-2-after 7"));
    assert_eq!(format_after(&read_note(&note)), Some(7));
    assert_eq!(format_after(&read_note(&key.sign(12, Hash([9; 32]), None).unwrap())), None);
    // The line is signed.
    let changed = note.replace("after 7", "after 12");
    assert!(read(changed.as_bytes(), key.origin(), &key.verifiers()).is_err());
}
