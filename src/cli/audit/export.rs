//! `logkey audit export`: the log as files in the tlog-tiles layout.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{Failure, Place, Trust};
use crate::{audit::export::export, store};

/// Where to.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    trust: Trust,
    /// The folder to write; it is made if there is none.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) async fn run(args: ExportArgs) -> Result<ExitCode, Failure> {
    let log = args.place.log()?;
    let verifier = log.verifier(&args.trust)?;
    let open = store::open_reader(&log.store).await?;
    let (note, checkpoint) = log.newest(&open, &verifier).await?;
    fs::create_dir_all(&args.out)?;
    export(&*open.log, &checkpoint, &note, &verifier, &args.out).await?;
    let size = checkpoint.size();
    writeln!(anstream::stdout(), "{size} events written to {}", args.out.display())?;
    Ok(ExitCode::SUCCESS)
}
