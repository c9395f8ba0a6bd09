//! Fills the disk under an audit log and makes room again, and checks what was promised meanwhile:
//! `cargo run --example audit_full_disk -- FOLDER`, where FOLDER is a small file system of its own.

#![expect(clippy::print_stdout, reason = "it tells what it found")]

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
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("which folder?")?);
    let file = folder.join("logkey.db");
    let store = store::open(&store::Config { url: format!("sqlite://{}", file.display()) }).await?;
    let key = SigningKey::open_or_create(&checkpoint::default_key_path(&file), "logkey")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    let sequencer = Sequencer::check(log, tree, Arc::clone(&clock), key).await?.start().await?;
    let journal = Arc::new(Journal::start(store.events, Arc::clone(&clock), audit::Config::default()));
    let entry = |kind| {
        let detail = Some("x".repeat(1500).into());
        JournalEntry::event_only(Event {
            kind,
            detail,
            ..Event::for_service(AuditOperation::Start, clock.now())
        })
    };

    let mut written = Vec::new();
    let refused = loop {
        match timeout(TIMEOUT, journal.commit(entry(Kind::Intent))).await? {
            Ok(id) => written.push(id),
            Err(refused) => break refused,
        }
    };
    println!("after {} records: {refused}", written.len());
    let started = Instant::now();
    while journal.not_ready_reason().is_none() {
        if started.elapsed() > TIMEOUT {
            return Err("the disk is full and the journal says that it is ready".into());
        }
        sleep(Duration::from_millis(1)).await;
    }
    // An outcome of a call that AWS has heard of stays until it can be written.
    let outcome = tokio::spawn({
        let (journal, entry) = (Arc::clone(&journal), entry(Kind::Outcome));
        async move { journal.commit(entry).await }
    });
    sleep(Duration::from_millis(200)).await;
    fs::remove_file(folder.join("ballast"))?;
    written.push(timeout(TIMEOUT, outcome).await???);
    let started = Instant::now();
    let again = loop {
        match journal.commit(entry(Kind::Intent)).await {
            Ok(id) => break id,
            Err(error) if started.elapsed() > TIMEOUT => return Err(error.into()),
            Err(_not_yet) => sleep(Duration::from_millis(10)).await,
        }
    };
    written.push(again);
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
        return Err(
            format!("{} records were told to be kept, {} are there", written.len(), found.len()).into()
        );
    }
    println!("every record that was told to be kept is there once, and no other");
    Ok(())
}
