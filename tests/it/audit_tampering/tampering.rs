//! The kinds of changes, and what has to be found for each.

use std::path::Path;

use super::{
    base::{ARCHIVED, Copy, ORIGIN, SIGNED, UNSIGNED},
    forger::{Database, ForeignKey, archive},
};

/// A change of the store or of the archive.
#[derive(Debug)]
pub(super) struct Tampering {
    pub(super) kind: Kind,
    /// Two numbers and a byte that choose where and what.
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) byte: u8,
}

/// What has to be found.
#[derive(Debug)]
pub(super) enum Expected {
    /// A finding with this text.
    Text(&'static str),
    /// A finding that names this position, or a range around it.
    At(u64),
}

macro_rules! kinds {
    ($($kind:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind { $($kind,)* }
        pub(super) const KINDS: &[Kind] = &[$(Kind::$kind,)*];
    };
}

kinds! {
    AlterEvent, AlterOneByte, EventNotUtf8, EmptyEvent, TruncateEvent, RemoveEvent, RemoveRange,
    RemoveLastSigned, RemoveFirst, SwapEvents, CopyOverAnother, ShiftEvents, EventAtZero, EventAtNegative,
    DuplicatePosition, ReencodeEvent,
    AlterUnsigned, RemoveUnsigned, SwapUnsigned, AppendForeign, AppendForeignWithBatch, AppendRotation,
    AppendArchiveAndRemove, AppendAfterGap, ReplayBatch, ReplaySignedBatch, ChangeTag, RemoveTag,
    ChangeAfter, RemoveBatches, MoveUnsigned, MergeBatches,
    RemoveNotes, RemoveNewestNote, NoteByOtherKey, NoteForMore, NoteGarbage, NoteNotUtf8, NoteSize,
    NoteSizeNegative, NoteExtended, NoteOfForgedTree, ForgeWhole,
    RemoveLeafTile, FlipLeafTile, TruncateLeafTile, RemoveParentTile, FlipParentTile, AlterWithTile,
    AlterArchived, TruncateArchived, RemoveArchivedBundle, ArchiveNoteByOtherKey, ArchiveNoteGarbage,
    HideFromTenantIndex, ShiftBatchTimes,
    FlipFrame, TruncateFrame, OtherDictionary, FrameAndText, SwapFrames,
}

/// The kinds that change compressed events. The others change the text of events that are not compressed.
const FRAME_KINDS: [Kind; 5] =
    [Kind::FlipFrame, Kind::TruncateFrame, Kind::OtherDictionary, Kind::FrameAndText, Kind::SwapFrames];

impl Expected {
    pub(super) fn matches(&self, finding: &str) -> bool {
        match self {
            Self::Text(text) => finding.contains(text),
            Self::At(at) => {
                let numbers =
                    finding.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
                let numbers: Vec<u64> = numbers.collect();
                match numbers[..] {
                    [first, last, ..] if finding.contains("events ") && finding.contains(" to ") => {
                        (first..=last).contains(at)
                    }
                    _ => numbers.contains(at),
                }
            }
        }
    }
}

impl Tampering {
    /// A position in this range, by the first or the second number.
    fn pick(number: u32, first: u64, last: u64) -> u64 {
        first + u64::from(number) % (last - first + 1)
    }

    /// Makes the change. Returns what has to be found, one of these.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind")]
    pub(super) async fn apply(&self, copy: &Copy) -> Vec<Expected> {
        use Expected::{At, Text};
        let (end, first) = (SIGNED + UNSIGNED, ARCHIVED + 1);
        let at = Self::pick(self.a, first, SIGNED);
        let other = Self::pick(self.b, first, SIGNED - 1);
        let other = if other == at { other + 1 } else { other };
        let free = Self::pick(self.a, SIGNED + 1, end - 1);
        let byte = self.byte;
        let mut file = if FRAME_KINDS.contains(&self.kind) {
            Database::open(copy.path()).await
        } else {
            Database::open_as_text(copy.path()).await
        };
        let own = copy.key().verifier().to_owned();
        let foreign = ForeignKey::create(&copy.path().join("foreign.pem"), ORIGIN);
        let zero = tlog_tiles::Hash([byte; 32]);
        let place = (at - 1) / 256;
        let expected = match self.kind {
            Kind::AlterEvent => {
                file.run(&format!("UPDATE event SET body = body || ' ' WHERE seq = {at}")).await;
                vec![At(at)]
            }
            Kind::AlterOneByte => {
                let from = 10 + self.b % 200;
                let sql = format!(
                    "UPDATE event SET body = substr(body, 1, {from}) || \
                     iif(substr(body, {from} + 1, 1) = 'x', 'y', 'x') || substr(body, {from} + 2) WHERE seq = {at}"
                );
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::EventNotUtf8 => {
                let byte = byte | 0x80;
                let sql = format!("UPDATE event SET body = CAST(x'7b{byte:02x}7d' AS TEXT) WHERE seq = {at}");
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::EmptyEvent => {
                file.run(&format!("UPDATE event SET body = '' WHERE seq = {at}")).await;
                vec![At(at)]
            }
            Kind::TruncateEvent => {
                let sql =
                    format!("UPDATE event SET body = substr(body, 1, {}) WHERE seq = {at}", self.b % 300);
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::ReencodeEvent => {
                // The same JSON in other bytes.
                file.run(&format!("UPDATE event SET body = replace(body, '\":', '\": ') WHERE seq = {at}"))
                    .await;
                vec![At(at)]
            }
            Kind::RemoveEvent => {
                file.run(&format!("DELETE FROM event WHERE seq = {at}")).await;
                vec![At(at)]
            }
            Kind::RemoveRange => {
                let (low, high) = (at.min(other), at.max(other));
                file.run(&format!("DELETE FROM event WHERE seq BETWEEN {low} AND {high}")).await;
                vec![At(low)]
            }
            Kind::RemoveLastSigned => {
                file.run(&format!("DELETE FROM event WHERE seq > {at}")).await;
                vec![At(SIGNED), At(at + 1)]
            }
            Kind::RemoveFirst => {
                file.run(&format!("DELETE FROM event WHERE seq <= {at}")).await;
                vec![At(first)]
            }
            Kind::SwapEvents => {
                let sql = format!(
                    "CREATE TEMP TABLE two AS SELECT seq, body FROM event WHERE seq IN ({at}, {other}); \
                     UPDATE event SET body = (SELECT body FROM two WHERE two.seq = {at} + {other} - event.seq) \
                     WHERE seq IN ({at}, {other})"
                );
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::CopyOverAnother => {
                let sql = format!(
                    "UPDATE event SET body = (SELECT body FROM event WHERE seq = {other}) WHERE seq = {at}"
                );
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::ShiftEvents => {
                let sql = format!(
                    "DELETE FROM event WHERE seq = {at}; UPDATE event SET seq = -seq WHERE seq > {at}; \
                     UPDATE event SET seq = -seq - 1 WHERE seq < 0"
                );
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::EventAtZero => {
                file.insert_event(0, &archive(1, "x")).await;
                vec![Text("rows are outside the log")]
            }
            Kind::EventAtNegative => {
                file.insert_event(-i64::from(self.a) - 1, "{}").await;
                vec![Text("rows are outside the log")]
            }
            Kind::DuplicatePosition => {
                let sql = format!(
                    "PRAGMA legacy_alter_table = ON; CREATE TABLE other (seq INTEGER, body TEXT, packed BLOB); INSERT INTO other SELECT seq, body, packed FROM event; \
                     INSERT INTO other SELECT seq, body || ' ', packed FROM event WHERE seq = {at}; \
                     DROP TABLE event; ALTER TABLE other RENAME TO event"
                );
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::AlterUnsigned => {
                file.run(&format!("UPDATE event SET body = body || ' ' WHERE seq = {free}")).await;
                vec![At(free)]
            }
            Kind::RemoveUnsigned => {
                file.run(&format!("DELETE FROM event WHERE seq = {free}")).await;
                vec![At(free)]
            }
            Kind::SwapUnsigned => {
                let next = free + 1;
                let sql = format!(
                    "CREATE TEMP TABLE two AS SELECT seq, body FROM event WHERE seq IN ({free}, {next}); \
                     UPDATE event SET body = (SELECT body FROM two WHERE two.seq = {free} + {next} - event.seq) \
                     WHERE seq IN ({free}, {next}); \
                     CREATE TEMP TABLE both AS SELECT first, after, tag FROM batch WHERE first IN ({free}, {next}); \
                     UPDATE batch SET after = (SELECT after FROM both WHERE both.first = {free} + {next} - batch.first), \
                     tag = (SELECT tag FROM both WHERE both.first = {free} + {next} - batch.first) \
                     WHERE first IN ({free}, {next})"
                );
                file.run(&sql).await;
                vec![At(free)]
            }
            Kind::AppendForeign => {
                file.insert_event(i64::try_from(end + 1).unwrap(), "{}").await;
                vec![At(end + 1)]
            }
            Kind::AppendForeignWithBatch => {
                file.insert_event(i64::try_from(end + 1).unwrap(), "{}").await;
                let code = format!("{byte:02x}").repeat(16);
                file.run(&batch(end + 1, end, &format!("x'{code}'"))).await;
                vec![At(end + 1)]
            }
            Kind::AppendRotation => {
                file.insert_event(i64::try_from(end + 1).unwrap(), &foreign.rotation(&own)).await;
                vec![At(end + 1)]
            }
            Kind::AppendArchiveAndRemove => {
                file.insert_event(i64::try_from(end + 1).unwrap(), &archive(at, "x")).await;
                file.run(&format!("DELETE FROM event WHERE seq <= {at}")).await;
                vec![At(first)]
            }
            Kind::AppendAfterGap => {
                let gap = end + 2 + u64::from(self.b % 1000);
                file.insert_event(i64::try_from(gap).unwrap(), "{}").await;
                vec![At(end + 1), At(gap)]
            }
            Kind::ReplayBatch | Kind::ReplaySignedBatch => {
                let again = if self.kind == Kind::ReplayBatch { free } else { SIGNED };
                let sql = format!(
                    "INSERT INTO event (seq, body) SELECT {0}, body FROM event WHERE seq = {again}; \
                     INSERT INTO batch SELECT {0}, {0}, since, until, least, most, after, tag FROM batch \
                     WHERE {again} BETWEEN first AND last",
                    end + 1
                );
                file.run(&sql).await;
                vec![At(end + 1)]
            }
            Kind::MoveUnsigned => {
                // The first of the events without a checkpoint disappears, and the others move forward.
                let sql = format!(
                    "DELETE FROM event WHERE seq = {0}; DELETE FROM batch WHERE first = {0}; \
                     UPDATE event SET seq = -seq WHERE seq > {0}; UPDATE event SET seq = -seq - 1 WHERE seq < 0; \
                     UPDATE batch SET first = -first, last = -last WHERE first > {0}; \
                     UPDATE batch SET first = -first - 1, last = -last - 1 WHERE first < 0",
                    SIGNED + 1
                );
                file.run(&sql).await;
                vec![At(SIGNED + 1)]
            }
            Kind::MergeBatches => {
                let sql = format!(
                    "DELETE FROM batch WHERE first = {free} + 1; \
                     UPDATE batch SET last = last + 1 WHERE first = {free}"
                );
                file.run(&sql).await;
                vec![At(free)]
            }
            Kind::ChangeTag => {
                let sql = format!("UPDATE batch SET tag = randomblob(length(tag)) WHERE first = {free}");
                file.run(&sql).await;
                vec![At(free)]
            }
            Kind::RemoveTag => {
                file.run(&format!("UPDATE batch SET tag = NULL WHERE first = {free}")).await;
                vec![At(free)]
            }
            Kind::ChangeAfter => {
                file.run(&format!("UPDATE batch SET after = after - 1 WHERE first = {free}")).await;
                vec![At(free)]
            }
            Kind::RemoveBatches => {
                file.run("DELETE FROM batch").await;
                vec![At(free)]
            }
            Kind::RemoveNotes => {
                file.run("DELETE FROM checkpoint").await;
                vec![Text("the log has no checkpoint")]
            }
            Kind::RemoveNewestNote => {
                file.run(&format!("DELETE FROM checkpoint WHERE size = {SIGNED}")).await;
                // The event `Archive` is no longer covered by a checkpoint.
                vec![At(1)]
            }
            Kind::NoteByOtherKey => {
                file.store_note(i64::try_from(SIGNED).unwrap(), &foreign.sign(ORIGIN, SIGNED, zero), false)
                    .await;
                vec![At(SIGNED)]
            }
            Kind::NoteForMore => {
                file.store_note(
                    i64::try_from(end).unwrap(),
                    &foreign.sign(ORIGIN, end, zero),
                    byte.is_multiple_of(2),
                )
                .await;
                vec![At(end)]
            }
            Kind::NoteGarbage => {
                let size = i64::from(self.a % 500) + 1;
                file.store_note(size, "garbage", byte.is_multiple_of(2)).await;
                vec![At(size.unsigned_abs())]
            }
            Kind::NoteNotUtf8 => {
                let sql = format!(
                    "UPDATE checkpoint SET note = CAST(x'{:02x}' || CAST(note AS BLOB) AS TEXT) WHERE size = {SIGNED}",
                    byte | 0x80
                );
                file.run(&sql).await;
                vec![At(SIGNED)]
            }
            Kind::NoteSize => {
                let size = u64::from(self.a % 200) + SIGNED + 1;
                file.run(&format!("UPDATE checkpoint SET size = {size}, handover = 1 WHERE size = {SIGNED}"))
                    .await;
                vec![At(size)]
            }
            Kind::NoteSizeNegative => {
                file.run(&format!("UPDATE checkpoint SET size = -1 WHERE size = {SIGNED}")).await;
                vec![Text("it covers 602 events")]
            }
            Kind::NoteExtended => {
                let sql = format!(
                    "UPDATE checkpoint SET note = replace(note, 'logkey-format-2-after 0', \
                     'logkey-format-2-after {at}') WHERE size = {SIGNED}"
                );
                file.run(&sql).await;
                vec![At(SIGNED)]
            }
            Kind::NoteOfForgedTree => {
                let bodies = file.bodies().await;
                let root = file.rebuild_tiles(&bodies).await;
                file.store_note(i64::try_from(end).unwrap(), &foreign.sign(ORIGIN, end, root), true).await;
                vec![At(end)]
            }
            Kind::ForgeWhole => {
                let mut bodies = file.bodies().await;
                bodies.remove(usize::try_from(at - first).unwrap());
                bodies.push(foreign.rotation(&own));
                file.run("DELETE FROM event; DELETE FROM batch; DELETE FROM batch_of_call").await;
                for (seq, body) in (1..).zip(&bodies) {
                    file.insert_event(seq, body).await;
                }
                let root = file.rebuild_tiles(&bodies).await;
                let size = bodies.len() as u64;
                file.run(&format!("UPDATE checkpoint SET size = {size} + size, handover = 1")).await;
                file.store_note(i64::try_from(size).unwrap(), &foreign.sign(ORIGIN, size, root), false).await;
                vec![At(size)]
            }
            Kind::RemoveLeafTile => {
                file.run(&format!("DELETE FROM tile WHERE level = 0 AND place = {place}")).await;
                vec![At(at)]
            }
            Kind::FlipLeafTile => {
                file.run(&flip(0, place, (at - 1) % 256)).await;
                vec![At(at)]
            }
            Kind::TruncateLeafTile => {
                let sql = format!(
                    "UPDATE tile SET hashes = substr(hashes, 1, {}) WHERE level = 0 AND place = {place}",
                    (at - 1) % 256 * 32 + u64::from(byte % 32)
                );
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::RemoveParentTile => {
                file.run("DELETE FROM tile WHERE level = 1").await;
                vec![At(u64::from(self.a) % 512 + 1)]
            }
            Kind::FlipParentTile => {
                let index = u64::from(self.a) % 2;
                file.run(&flip(1, 0, index)).await;
                vec![At(index * 256 + 1)]
            }
            Kind::AlterWithTile => {
                let body = file.bodies().await[usize::try_from(at - first).unwrap()].clone() + " ";
                let hash =
                    tlog_tiles::record_hash(body.as_bytes()).0.map(|byte| format!("{byte:02x}")).concat();
                let from = (at - 1) % 256 * 32;
                let sql = format!(
                    "UPDATE event SET body = body || ' ' WHERE seq = {at}; \
                     UPDATE tile SET hashes = CAST(substr(hashes, 1, {from}) || x'{hash}' || substr(hashes, {from} + 33) AS BLOB) \
                     WHERE level = 0 AND place = {place}"
                );
                file.run(&sql).await;
                vec![At(at), At(SIGNED)]
            }
            Kind::AlterArchived => {
                let seq = alter_bundle(&copy.archive(), self.a, |bytes, middle| bytes[middle] ^= 1);
                vec![At(seq)]
            }
            Kind::TruncateArchived => {
                alter_bundle(&copy.archive(), self.a, Vec::truncate);
                vec![Text("the archive")]
            }
            Kind::RemoveArchivedBundle => {
                std::fs::remove_file(bundle(&copy.archive(), self.a)).unwrap();
                vec![Text("the archive")]
            }
            Kind::ArchiveNoteByOtherKey => {
                let note = foreign.sign(ORIGIN, ARCHIVED, zero);
                std::fs::write(copy.archive().join("checkpoint"), note).unwrap();
                vec![Text("the archive")]
            }
            Kind::ArchiveNoteGarbage => {
                std::fs::write(copy.archive().join("checkpoint"), [byte; 64]).unwrap();
                vec![Text("the archive")]
            }
            Kind::HideFromTenantIndex => {
                file.run("DELETE FROM batch_of_call").await;
                vec![At(at)]
            }
            Kind::FlipFrame => {
                let mut frame = file.frame(at).await;
                *frame.last_mut().unwrap() ^= byte.max(1);
                file.set_frame(at, &frame).await;
                vec![At(at)]
            }
            Kind::TruncateFrame => {
                let frame = file.frame(at).await;
                file.set_frame(at, &frame[..usize::from(byte) % frame.len()]).await;
                vec![At(at)]
            }
            Kind::OtherDictionary => {
                let mut frame = file.frame(at).await;
                // After the magic number and a byte that describes the header (RFC 8878, section 3.1.1.1).
                frame[5] ^= byte.max(1);
                file.set_frame(at, &frame).await;
                vec![At(at)]
            }
            Kind::FrameAndText => {
                file.run(&format!("UPDATE event SET body = '{{}}' WHERE seq = {at}")).await;
                vec![At(at)]
            }
            Kind::SwapFrames => {
                let sql = format!(
                    "UPDATE event SET packed = (SELECT packed FROM event WHERE seq = {other}) WHERE seq = {at}"
                );
                file.run(&sql).await;
                vec![At(at)]
            }
            Kind::ShiftBatchTimes => {
                file.run("UPDATE batch SET since = since + 86400000000").await;
                vec![At(at)]
            }
        };
        file.close().await;
        expected
    }
}

/// Inserts the row of a batch with one event.
fn batch(seq: u64, after: u64, tag: &str) -> String {
    format!(
        "INSERT INTO batch (first, last, since, until, least, most, after, tag) \
         VALUES ({seq}, {seq}, 0, 1 << 62, x'', x'ff', {after}, {tag})"
    )
}

/// Replaces a hash of a tile.
fn flip(level: u8, place: u64, index: u64) -> String {
    let from = index * 32;
    format!(
        "UPDATE tile SET hashes = CAST(substr(hashes, 1, {from}) || zeroblob(32) || substr(hashes, {from} + 33) AS BLOB) \
         WHERE level = {level} AND place = {place}"
    )
}

/// The file of the first or the second 256 archived events.
fn bundle(archive: &Path, choice: u32) -> std::path::PathBuf {
    archive.join(format!("tile/entries/00{}", choice % 2))
}

/// Changes the bytes of a bundle, given the middle of its event in the middle. Returns that event's position.
fn alter_bundle(archive: &Path, choice: u32, change: impl FnOnce(&mut Vec<u8>, usize)) -> u64 {
    let path = bundle(archive, choice);
    let mut bytes = std::fs::read(&path).unwrap();
    let (mut at, mut from) = (1, 0);
    let length = |bytes: &[u8], from: usize| usize::from(u16::from_be_bytes([bytes[from], bytes[from + 1]]));
    while at < 128 {
        from += 2 + length(&bytes, from);
        at += 1;
    }
    let middle = from + 2 + length(&bytes, from) / 2;
    change(&mut bytes, middle);
    std::fs::write(path, bytes).unwrap();
    u64::from(choice % 2) * 256 + at
}
