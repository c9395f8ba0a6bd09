//! `logkey audit rotate-key`: a new key signs the log's checkpoints, beside the old one until that is
//! ended.

use std::{io::Write as _, process::ExitCode};

use clap::Args;

use super::{Failure, LogLocation, OpenLog, offline::StandaloneSequencer};
use crate::{
    audit::checkpoint::{self, KeyError, SigningKey},
    store::{self, OpenError},
};

/// Begin, or end.
#[derive(Debug, Args)]
pub(super) struct RotateKeyArgs {
    #[command(flatten)]
    location: LogLocation,
    /// Have the old key sign no more, once the new one does.
    #[arg(long)]
    end: bool,
}

pub(super) async fn run(args: RotateKeyArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let path = log.key_file()?;
    let mut out = anstream::stdout();
    if args.end {
        if !signs(&log, &SigningKey::open(&path, &log.origin)?).await? {
            return Err("the new key does not sign yet: start the service, or send it SIGHUP".into());
        }
        let key = SigningKey::drop_previous(&path, &log.origin)?;
        writeln!(
            out,
            "from the next start or SIGHUP of the service on, this key signs alone:\n{}",
            key.verifier()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = match SigningKey::rotate(&path, &log.origin) {
        // An earlier run was ended before the log took the new key up: this one goes on with it.
        Err(KeyError::TakingOver { .. }) if !signs(&log, &SigningKey::open(&path, &log.origin)?).await? => {
            SigningKey::open(&path, &log.origin)?
        }
        renewed => renewed?,
    };
    writeln!(
        out,
        "the new key is in {}; its verifier key, for auditors to keep:\n{}",
        path.display(),
        key.verifier()
    )?;
    match StandaloneSequencer::open(&log).await {
        Ok(open) => {
            let signs = open.signs();
            open.close().await;
            if signs {
                writeln!(out, "it signs from here on, and the old key beside it until rotate-key --end")?;
            } else {
                writeln!(
                    out,
                    "services run: give each of them this file and send it SIGHUP, and they sign by both keys \
                     until rotate-key --end"
                )?;
            }
        }
        Err(Failure::Other(error)) if matches!(error.downcast_ref(), Some(OpenError::InUse { .. })) => {
            writeln!(
                out,
                "the service runs: send it SIGHUP, and it signs by both keys until rotate-key --end"
            )?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the newest checkpoint is signed by the first key of the file.
async fn signs(log: &OpenLog, key: &SigningKey) -> Result<bool, Failure> {
    let open = store::open_reader(&log.store).await?;
    let signed = open.tree.checkpoint().await?.ok_or("the log has no checkpoint yet")?;
    Ok(checkpoint::read(signed.note.as_bytes(), &log.origin, &[key.verifier().to_owned()]).is_ok())
}
