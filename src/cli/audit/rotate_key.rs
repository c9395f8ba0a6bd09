//! `logkey audit rotate-key`: adds a new key that signs the log's checkpoints. The old key signs too, until
//! `--end` removes it.

use std::{path::Path, process::ExitCode};

use clap::Args;
use logkey_client::output::{Column, OutputArgs, Report, Table, print};
use serde_json::json;

use super::{
    failure::Failure,
    log_location::{LogLocation, OpenLog},
    offline::StandaloneSequencer,
};
use crate::{
    audit::checkpoint::{self, KeyError, SigningKey},
    store::{self, OpenError},
};

/// The arguments of `logkey audit rotate-key`.
#[derive(Debug, Args)]
pub(super) struct RotateKeyArgs {
    #[command(flatten)]
    location: LogLocation,
    /// Remove the old key; the new one must already sign.
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: RotateKeyArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let path = log.key_file()?;
    if args.end {
        if !signs(&log, &SigningKey::open(&path, &log.origin)?).await? {
            return Err("the new key does not sign yet: start the service, or send it SIGHUP".into());
        }
        // Without the old key, the log depends on the checkpoint that was just read.
        store::sync(&log.store)?;
        let key = SigningKey::drop_previous(&path, &log.origin)?;
        let notes = ["after the next start or SIGHUP of the service, only this key signs:", key.verifier()];
        print(&report(&path, &key, "ENDED").notes(notes.map(str::to_owned)), &args.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = match SigningKey::rotate(&path, &log.origin) {
        // An earlier run stopped before the log used the new key: this run continues with that key.
        Err(KeyError::TakingOver { .. }) if !signs(&log, &SigningKey::open(&path, &log.origin)?).await? => {
            SigningKey::open(&path, &log.origin)?
        }
        result => result?,
    };
    let created = [
        format!("the new key is in {}; give its verifier key to the auditors:", path.display()),
        key.verifier().to_owned(),
    ];
    let (state, note) = match StandaloneSequencer::open(&log).await {
        Ok(open) => {
            let signs = open.signs();
            open.close().await;
            if signs {
                ("SIGNS", "the new key signs from now on, together with the old key until rotate-key --end")
            } else {
                (
                    "CREATED",
                    "services are running: give each of them this file and send it SIGHUP; they then sign with \
                     both keys until rotate-key --end",
                )
            }
        }
        Err(Failure::Other(error)) if matches!(error.downcast_ref(), Some(OpenError::InUse { .. })) => (
            "CREATED",
            "the service is running: send it SIGHUP; it then signs with both keys until rotate-key --end",
        ),
        Err(failure) => {
            // The key exists, so its verifier key is shown all the same.
            print(&report(&path, &key, "CREATED").notes(created), &args.output)?;
            return Err(failure);
        }
    };
    print(&report(&path, &key, state).notes(created.into_iter().chain([note.to_owned()])), &args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// The new key, and how far the rotation is.
fn report(path: &Path, key: &SigningKey, state: &str) -> Report {
    let (file, verifier) = (path.display().to_string(), key.verifier().to_owned());
    let columns = [Column::new("verifier_key"), Column::new("key_file"), Column::new("state")];
    let mut table = Table::new(&columns, "").hidden();
    table.push([verifier.clone(), file.clone(), state.to_owned()]);
    Report::new(json!({ "verifierKey": verifier, "keyFile": file, "state": state }), table)
}

/// Whether the first key of the file signed the newest checkpoint.
async fn signs(log: &OpenLog, key: &SigningKey) -> Result<bool, Failure> {
    let open = store::open_reader(&log.store).await?;
    let signed = open.tree.checkpoint().await?.ok_or("the log has no checkpoint yet")?;
    Ok(checkpoint::read(signed.note.as_bytes(), &log.origin, &[key.verifier().to_owned()]).is_ok())
}
