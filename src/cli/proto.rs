//! `logkey proto`: writes the `.proto` files of this version and their descriptor set, to generate clients from.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use thiserror::Error;

use crate::{
    domain::error_chain::error_chain,
    proto::{DESCRIPTORS, SOURCES},
};

/// The name of the file with the descriptor set, which contains the imports too.
const DESCRIPTOR_SET: &str = "descriptors.binpb";

/// The arguments of `logkey proto`.
#[derive(Args, Debug)]
pub(super) struct ProtoArgs {
    /// The folder to write to; it is created if it does not exist, and its files are overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Error)]
#[error("cannot write {}", .0.display())]
struct WriteError(PathBuf, #[source] io::Error);

/// Runs the subcommand.
pub(super) fn run(args: &ProtoArgs) -> ExitCode {
    let files = SOURCES.iter().map(|(name, text)| (*name, text.as_bytes()));
    for (name, content) in files.chain([(DESCRIPTOR_SET, DESCRIPTORS)]) {
        if let Err(error) = write(&args.out.join(name), content) {
            anstream::eprintln!("logkey proto: {}", error_chain(&error));
            return ExitCode::FAILURE;
        }
    }
    let (count, out) = (SOURCES.len(), args.out.display());
    // A write fails if the reader closed the pipe; the files are written.
    drop(writeln!(
        anstream::stdout(),
        "{count} files and {DESCRIPTOR_SET} written to {out}; run `buf generate` there"
    ));
    ExitCode::SUCCESS
}

fn write(path: &Path, content: &[u8]) -> Result<(), WriteError> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, content)).map_err(|error| WriteError(path.to_owned(), error))
}
