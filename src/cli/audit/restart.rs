//! `logkey audit restart --lost-key`: begins a new log in the store, because the key that signed the former one
//! is lost.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use logkey_client::output::{Column, OutputArgs, Report, Table, print};
use serde_json::json;

use super::{
    failure::Failure,
    log_location::{LogLocation, OpenLog},
    offline::StandaloneSequencer,
};
use crate::{
    app::SystemClock,
    audit::{
        archive::ArchiveReader,
        checkpoint::SigningKey,
        restart::{FormerLog, RestartError, RestartInputs, newest_checkpoint, restart},
    },
    config::ArchiveTarget,
    domain::plural::plural,
    ports::LeadershipStatus,
    store::{self, Store},
};

/// The arguments of `logkey audit restart`.
#[derive(Debug, Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    location: LogLocation,
    /// Confirm that the key which signed the log is lost. Auditors can no longer follow the log from the
    /// checkpoints that they kept.
    #[arg(long, required = true)]
    lost_key: bool,
    /// The folder for the former log [default: next to the store].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The folder or bucket of the archive, if events were moved there [default: `audit.archive`].
    #[arg(long, value_name = "DIR")]
    archive: Option<ArchiveTarget>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: RestartArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let store = store::open(&log.store).await?;
    let archive = log.archive_reader(args.archive.as_ref(), &*store.log).await?;
    let replaced = replace(&log, &store, args.out, archive.as_ref()).await;
    store.closing.close().await;
    let Replaced { former, folder, key } = replaced?;
    // Signs the new log.
    StandaloneSequencer::open(&log).await?.close().await;
    print(&report(&former, &folder.display().to_string(), key.verifier()), &args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// The former log, where it is now, and the key of the new one.
struct Replaced {
    former: FormerLog,
    folder: PathBuf,
    key: SigningKey,
}

async fn replace(
    log: &OpenLog,
    store: &Store,
    out: Option<PathBuf>,
    archive: Option<&ArchiveReader>,
) -> Result<Replaced, Failure> {
    if store.tree.lead().await? == LeadershipStatus::Follower {
        return Err("services are running on this store: stop every replica first".into());
    }
    if store.tree.checkpoint().await?.is_none() {
        return Err(RestartError::Unsigned.into());
    }
    let path = log.key_file()?;
    let key = if log.key_file.is_none() {
        SigningKey::open_or_create(&path, &log.origin)?
    } else {
        SigningKey::open(&path, &log.origin)?
    };
    let (checkpoint, _note) = newest_checkpoint(&*store.tree, &key).await?;
    let folder = out.unwrap_or_else(|| {
        let name = format!("logkey-former-log-{}", checkpoint.size());
        log.store.file().map_or_else(|| name.clone().into(), |file| file.with_file_name(&name))
    });
    let (log, tree, replacement) = (&store.log, &*store.tree, &*store.replacement);
    let inputs = RestartInputs { log, tree, replacement, archive, clock: &SystemClock, key: &key };
    let former = restart(inputs, &folder).await?;
    Ok(Replaced { former, folder, key })
}

fn report(former: &FormerLog, folder: &str, verifier: &str) -> Report {
    let FormerLog { size, root, unsigned, open } = former;
    let later = match unsigned {
        1 => "1 later event was".to_owned(),
        count => format!("{count} later events were"),
    };
    let notes = [
        format!(
            "a new log begins. The former log of {} with the root {root} is in {folder}; {later} not signed, and {} \
             had no outcome",
            plural(*size, "event"),
            plural(*open, "change"),
        ),
        "archive that folder, and give this verifier key to the auditors:".to_owned(),
        verifier.to_owned(),
    ];
    let document = json!({
        "folder": folder,
        "formerEvents": size,
        "formerRoot": root,
        "unsignedEvents": unsigned,
        "openChanges": open,
        "verifierKey": verifier,
    });
    let mut table = Table::new(&[Column::new("folder"), Column::new("verifier_key")], "").hidden();
    table.push([folder.to_owned(), verifier.to_owned()]);
    Report::new(document, table).notes(notes)
}
