//! `logkey audit rotate-key`: a new key signs the log's checkpoints, beside the old one until that is
//! ended.

use std::{io::Write as _, process::ExitCode};

use clap::Args;

use super::{Failure, Place, offline::Offline};
use crate::{
    audit::checkpoint::{self, SigningKey},
    store::{self, OpenError},
};

/// Begin, or end.
#[derive(Debug, Args)]
pub(super) struct RotateKeyArgs {
    #[command(flatten)]
    place: Place,
    /// Have the old key sign no more, once the new one does.
    #[arg(long)]
    end: bool,
}

pub(super) async fn run(args: RotateKeyArgs) -> Result<ExitCode, Failure> {
    let log = args.place.log()?;
    let path = log.key_file()?;
    let mut out = anstream::stdout();
    if args.end {
        let open = store::open_reader(&log.store).await?;
        let key = SigningKey::open(&path, &log.origin)?;
        let signed = open.tree.checkpoint().await?.ok_or("the log has no checkpoint yet")?;
        checkpoint::read(signed.note.as_bytes(), &log.origin, &[key.verifier().to_owned()])
            .map_err(|_not_yet| "the new key does not sign yet: start the service, or send it SIGHUP")?;
        let key = SigningKey::retire_old(&path, &log.origin)?;
        writeln!(
            out,
            "from the next start or SIGHUP of the service on, this key signs alone:\n{}",
            key.verifier()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = SigningKey::renew(&path, &log.origin)?;
    writeln!(
        out,
        "the new key is in {}; its verifier key, for auditors to keep:\n{}",
        path.display(),
        key.verifier()
    )?;
    match Offline::open(&log).await {
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
