//! `logkey audit rotate-key`: adds a new key that signs the log's checkpoints. The old key signs too, until
//! `--end` removes it.

use std::{io::Write as _, process::ExitCode};

use clap::Args;

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
            "after the next start or SIGHUP of the service, only this key signs:\n{}",
            key.verifier()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = match SigningKey::rotate(&path, &log.origin) {
        // An earlier run stopped before the log used the new key: this run continues with that key.
        Err(KeyError::TakingOver { .. }) if !signs(&log, &SigningKey::open(&path, &log.origin)?).await? => {
            SigningKey::open(&path, &log.origin)?
        }
        result => result?,
    };
    writeln!(
        out,
        "the new key is in {}; give its verifier key to the auditors:\n{}",
        path.display(),
        key.verifier()
    )?;
    match StandaloneSequencer::open(&log).await {
        Ok(open) => {
            let signs = open.signs();
            open.close().await;
            if signs {
                writeln!(
                    out,
                    "the new key signs from now on, together with the old key until rotate-key --end"
                )?;
            } else {
                writeln!(
                    out,
                    "services are running: give each of them this file and send it SIGHUP; they then sign with \
                     both keys until rotate-key --end"
                )?;
            }
        }
        Err(Failure::Other(error)) if matches!(error.downcast_ref(), Some(OpenError::InUse { .. })) => {
            writeln!(
                out,
                "the service is running: send it SIGHUP; it then signs with both keys until rotate-key --end"
            )?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the first key of the file signed the newest checkpoint.
async fn signs(log: &OpenLog, key: &SigningKey) -> Result<bool, Failure> {
    let open = store::open_reader(&log.store).await?;
    let signed = open.tree.checkpoint().await?.ok_or("the log has no checkpoint yet")?;
    Ok(checkpoint::read(signed.note.as_bytes(), &log.origin, &[key.verifier().to_owned()]).is_ok())
}
