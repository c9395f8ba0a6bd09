//! The write-ahead log of SQLite.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use logkey::ports::{EventFilter, StoredEvent};

use super::{Backend, append, batch, indexed, whole};

/// How much the test writes, in bytes.
const WRITTEN: usize = 128 << 20;
/// The bound of the write-ahead log in this test. On a slow disk, writes go on while it waits to be emptied.
const BOUND: u64 = 96 << 20;

/// A batch of about two MiB.
fn large_batch(first: u128) -> logkey::ports::Batch {
    batch((first..first + 512).map(|number| {
        let (event, body) = whole(indexed(number));
        (event, body.replacen('{', &format!("{{\"padding\":\"{}\",", "x".repeat(4096)), 1))
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_stays_short_while_readers_never_pause() {
    let backend = Backend::file();
    let Backend::File(folder) = &backend else { return };
    let wal = folder.path().join("logkey.db-wal");
    let store = backend.open().await;
    append(&store, large_batch(1)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (log, stop) = (Arc::clone(&store.log), Arc::clone(&stop));
        readers.spawn(async move {
            let filter = EventFilter { subject: Some("nobody".into()), ..EventFilter::default() };
            let mut reads = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                // A read that takes too long is interrupted.
                let _: Result<Vec<StoredEvent>, _> = log.list(&filter, None, 10).await;
                reads += 1;
            }
            reads
        });
    }
    let (mut written, mut longest) = (0, 0);
    for number in 1.. {
        let next = large_batch(1 + number * 512);
        written += next.bytes.len();
        append(&store, next).await;
        longest = longest.max(std::fs::metadata(&wal).map_or(0, |file| file.len()));
        if written > WRITTEN {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let reads = readers.join_all().await;
    assert!(reads.iter().all(|count| *count > 0), "{reads:?}");
    assert!(longest < BOUND, "the write-ahead log had {longest} bytes");
    assert_eq!(store.log.after(0, 3).await.unwrap().len(), 3);
}
