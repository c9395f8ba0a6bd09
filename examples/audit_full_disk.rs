//! Fills the disk of an audit log and frees space again. Checks that the log then contains exactly the
//! records that it acknowledged: `cargo run --example audit_full_disk -- FOLDER`, where FOLDER is a
//! separate, small file system that contains a file `ballast`.

#![expect(clippy::print_stdout, reason = "it prints its results")]

use std::{error::Error, fs, path::PathBuf, sync::Arc, time::Duration};

use logkey::{
    app::SystemClock,
    audit::{self, Journal, Sequencer, checkpoint, checkpoint::SigningKey},
    domain::audit::{AuditOperation, Event, JournalEntry, Kind},
    ports::{AuditLog as _, Clock},
    store,
};
use tokio::time::{Instant, sleep, timeout};

const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: audit_full_disk FOLDER")?);
    let file = folder.join("logkey.db");
    let store = store::open(&store::Config { url: format!("sqlite://{}", file.display()) }).await?;
    let key = SigningKey::open_or_create(&checkpoint::default_key_path(&file), "logkey")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    let checked = Sequencer::check(log, tree, Arc::clone(&clock), key).await?;
    let tagger = checked.tagger();
    let sequencer = checked.start().await?;
    let journal =
        Arc::new(Journal::start(store.events, Arc::clone(&clock), tagger, audit::Config::default()));
    let entry = |kind| {
        let detail = Some("x".repeat(1500).into());
        JournalEntry::event_only(Event {
            kind,
            detail,
            ..Event::for_service(AuditOperation::Start, clock.now())
        })
    };

    let mut written = Vec::new();
    let error = loop {
        match timeout(TIMEOUT, journal.commit(entry(Kind::Intent))).await? {
            Ok(id) => written.push(id),
            Err(error) => break error,
        }
    };
    println!("after {} records: {error}", written.len());
    let started = Instant::now();
    while journal.not_ready_reason().is_none() {
        if started.elapsed() > TIMEOUT {
            return Err("the disk is full but the journal reports that it is ready".into());
        }
        sleep(Duration::from_millis(1)).await;
    }
    // The outcome of a call that was sent to AWS waits until it can be written.
    let outcome = tokio::spawn({
        let (journal, entry) = (Arc::clone(&journal), entry(Kind::Outcome));
        async move { journal.commit(entry).await }
    });
    sleep(Duration::from_millis(200)).await;
    fs::remove_file(folder.join("ballast"))?;
    written.push(timeout(TIMEOUT, outcome).await???);
    let started = Instant::now();
    let later = loop {
        match journal.commit(entry(Kind::Intent)).await {
            Ok(id) => break id,
            Err(error) if started.elapsed() > TIMEOUT => return Err(error.into()),
            Err(_not_yet) => sleep(Duration::from_millis(10)).await,
        }
    };
    written.push(later);
    journal.close().await;
    sequencer.close().await;

    let mut found = Vec::new();
    while let Some(next) = {
        let page = store.log.after(found.len() as u64, 500).await?;
        (!page.is_empty()).then_some(page)
    } {
        found.extend(next.into_iter().map(|event| event.id));
    }
    if found != written {
        return Err(format!(
            "the journal acknowledged {} records, but the log contains {}",
            written.len(),
            found.len()
        )
        .into());
    }
    println!("the log contains every acknowledged record once, and no other");
    Ok(())
}
