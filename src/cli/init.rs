//! `logkey init`: writes a commented configuration for trying logkey out, and the keys that sign its tokens.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use thiserror::Error;

use super::token::{TokenError, make_keys};
use crate::domain::error_chain::error_chain;

/// The configuration; it fits the account of `logkey sandbox`.
const CONFIGURATION: &str = include_str!("init.toml");
/// What to do next.
const NEXT_STEPS: &str = "\
Next, in this folder:
  logkey sandbox &        # an embedded AWS, which the configuration uses
  logkey check
  export AWS_ACCESS_KEY_ID=AKIASANDBOXHUB AWS_SECRET_ACCESS_KEY=anything
  logkey serve &
  logkey token --key-file keys/es256.pem --issuer https://issuer.example --tenant payments";

/// The arguments of `logkey init`.
#[derive(Args, Debug)]
pub(super) struct InitArgs {
    /// The folder to write to; it is created if it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

#[derive(Debug, Error)]
enum InitError {
    #[error("{} exists; logkey init overwrites no file: name another folder", .0.display())]
    Exists(PathBuf),
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Keys(#[from] TokenError),
}

/// Runs the subcommand.
pub(super) fn run(args: &InitArgs) -> ExitCode {
    match write(&args.folder) {
        Ok(()) => {
            let (folder, mut out) = (args.folder.display(), anstream::stdout());
            // A write fails if the reader closed the pipe; the files are written.
            drop(writeln!(out, "logkey.toml and keys/ are written to {folder}\n{NEXT_STEPS}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            anstream::eprintln!("logkey init: {}", error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Writes nothing if one of the files exists.
fn write(folder: &Path) -> Result<(), InitError> {
    let (file, keys) = (folder.join("logkey.toml"), folder.join("keys"));
    if let Some(existing) = [&file, &keys].into_iter().find(|path| path.exists()) {
        return Err(InitError::Exists(existing.clone()));
    }
    fs::create_dir_all(folder).map_err(|error| InitError::Write(folder.to_owned(), error))?;
    make_keys(&keys)?;
    fs::write(&file, CONFIGURATION).map_err(|error| InitError::Write(file, error))
}
