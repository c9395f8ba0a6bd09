//! The write-ahead log of SQLite.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use logkey::{
    ports::{EventFilter, StoredEvent},
    store,
};

use super::{Backend, append, batch, indexed, whole};

/// How much the test writes, in bytes.
const WRITTEN: usize = 128 << 20;
/// The bound of the write-ahead log in this test. On a slow disk, writes go on while it waits to be emptied.
const BOUND: u64 = 96 << 20;

/// A batch of about two MiB. The store compresses events, so their padding is random.
fn large_batch(first: u128) -> logkey::ports::Batch {
    batch((first..first + 512).map(|number| {
        let (event, body) = whole(indexed(number));
        let padding = STANDARD.encode((0..3072).map(|_| rand::random()).collect::<Vec<u8>>());
        (event, body.replacen('{', &format!("{{\"padding\":\"{padding}\","), 1))
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

/// The length from which the store empties the write-ahead log.
const EMPTIED_FROM: u64 = 32 << 20;
/// How long the test waits for that, in steps of 10 ms.
const MAX_POLLS: u32 = 6_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_is_emptied_while_other_processes_search_and_verify() {
    let backend = Backend::file();
    let Backend::File(folder) = &backend else { return };
    let wal = folder.path().join("logkey.db-wal");
    let length = || std::fs::metadata(&wal).map_or(0, |file| file.len());
    let store = backend.open().await;
    for number in 0..8 {
        append(&store, large_batch(1 + number * 512)).await;
    }
    // Separate connections, as those of `logkey audit list` and `verify`.
    let url = format!("sqlite://{}/logkey.db", folder.path().display());
    let config = store::Config { url };
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..3 {
        let (reader, stop) = (store::open_reader(&config).await.unwrap().log, Arc::clone(&stop));
        readers.spawn(async move {
            let filter = EventFilter { subject: Some("nobody".into()), ..EventFilter::default() };
            let (mut reads, mut position) = (0_u32, 0);
            while !stop.load(Ordering::Relaxed) {
                if number == 0 {
                    let page = reader.index_check(position, 1024).await.unwrap();
                    position = page.last().map_or(0, |checked| checked.event.seq);
                } else {
                    assert_eq!(reader.list(&filter, None, 10).await.unwrap(), []);
                    assert_eq!(reader.next(&filter, u64::MAX, 10).await.unwrap(), []);
                }
                reads += 1;
            }
            reads
        });
    }
    // Twice, whatever the speed of the disk.
    let mut next = 8;
    for _ in 0..2 {
        while length() < EMPTIED_FROM {
            append(&store, large_batch(1 + next * 512)).await;
            next += 1;
        }
        for poll in 0.. {
            assert!(poll < MAX_POLLS, "the write-ahead log is not emptied: {} bytes", length());
            if length() < EMPTIED_FROM {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let reads = readers.join_all().await;
    assert!(reads.iter().all(|count| *count > 0), "{reads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_another_process_finds_the_same_events_in_steps() {
    let backend = Backend::file();
    let Backend::File(folder) = &backend else { return };
    let store = backend.open().await;
    for number in 0..6 {
        append(&store, large_batch(1 + number * 512)).await;
    }
    // A position far from all others.
    backend.obstruct(i64::MAX - 1).await;
    let url = format!("sqlite://{}/logkey.db", folder.path().display());
    let reader = store::open_reader(&store::Config { url }).await.unwrap().log;
    let positions = |found: Vec<StoredEvent>| found.iter().map(|event| event.seq).collect::<Vec<_>>();
    for after in [None, Some(0), Some(1_000), Some(1_024), Some(3_000)] {
        for limit in [1, 10, 1_024, 1_500, 5_000] {
            let filter = EventFilter { after, ..EventFilter::default() };
            for position in [None, Some(1), Some(1_024), Some(1_025), Some(2_500)] {
                let expected = positions(store.log.list(&filter, position, limit).await.unwrap());
                assert_eq!(positions(reader.list(&filter, position, limit).await.unwrap()), expected);
                let through = position.unwrap_or(u64::MAX);
                let expected = positions(store.log.next(&filter, through, limit).await.unwrap());
                assert_eq!(positions(reader.next(&filter, through, limit).await.unwrap()), expected);
            }
        }
    }
}
