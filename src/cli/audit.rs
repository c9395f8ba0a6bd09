//! `logkey audit`: reads and verifies the audit log, also while the service runs. It also moves old events to
//! an archive and rotates the signing key.

mod archive;
mod export;
mod list;
mod offline;
mod prove;
mod rotate_key;
mod show;
pub mod table;
mod verify;

use std::{error::Error, fs, io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use tlog_tiles::Checkpoint;

use crate::{
    audit::{
        archive::ArchiveReader,
        checkpoint::{self, SigningKey},
        verify as log_verification,
    },
    config::{ArchiveSettings, ProcessEnv, Settings},
    domain::error_chain::error_chain,
    store::{self, ReadOnlyStore},
};

/// The log's name in its checkpoints, if no configuration names it.
const ORIGIN: &str = "logkey";

/// The arguments of `logkey audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events, newest first.
    List(list::ListArgs),
    /// Print one event.
    Show(show::ShowArgs),
    /// Verify that the log is complete and unchanged: exits with 0 if it is, 1 if it was changed, 2 if
    /// verify cannot tell.
    Verify(verify::VerifyArgs),
    /// Write the log as files that other tools can verify.
    Export(export::ExportArgs),
    /// Write a proof that an event is in the log.
    Prove(prove::ProveArgs),
    /// Move old events to an archive. With SQLite, stop the service first.
    Archive(archive::ArchiveArgs),
    /// Replace the key that signs the log's checkpoints.
    RotateKey(rotate_key::RotateKeyArgs),
}

/// Where the log is.
#[derive(Debug, Args)]
struct LogLocation {
    /// The service's configuration file.
    #[arg(long, value_name = "FILE", required_unless_present = "store", conflicts_with = "store")]
    config: Option<PathBuf>,
    /// The URL of the store, such as `sqlite://logkey.db` or `postgres://logkey@db.example.com/logkey`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// The keys that may sign the log's checkpoints.
#[derive(Debug, Args)]
struct TrustArgs {
    /// A verifier key that you trust, or a file that contains it; you can repeat it [default: the verifier
    /// keys of the log's signing key].
    #[arg(long, value_name = "KEY")]
    verifier: Vec<String>,
}

/// Where the arguments say that the log, its key and its archive are.
struct OpenLog {
    store: store::Config,
    origin: Box<str>,
    key_file: Option<PathBuf>,
    archive: ArchiveSettings,
}

/// Why a subcommand failed; [`run`] prints it.
#[derive(Debug)]
enum Failure {
    /// The configuration is invalid: its diagnostics, one on each line.
    Settings(String),
    /// Any other error.
    Other(Box<dyn Error + Send + Sync>),
}

/// Runs the subcommand and returns its exit code: 2 if the configuration is invalid or if `verify` cannot
/// tell, and 1 for other errors.
pub async fn run(args: AuditArgs) -> ExitCode {
    let is_verify = matches!(args.command, Command::Verify(_));
    let result = match args.command {
        Command::List(args) => list::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Prove(args) => prove::run(args).await,
        Command::Archive(args) => archive::run(args).await,
        Command::RotateKey(args) => rotate_key::run(args).await,
    };
    match result {
        Ok(code) => code,
        Err(Failure::Settings(diagnostics)) => {
            print(&diagnostics);
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            print(&format!("logkey: {}", error_chain(&*error)));
            ExitCode::from(if is_verify { 2 } else { 1 })
        }
    }
}

/// Prints a line to standard error, and ignores that the stream may be closed.
fn print(line: &str) {
    drop(writeln!(anstream::stderr(), "{line}"));
}

// === impl LogLocation ===

impl LogLocation {
    fn log(&self) -> Result<OpenLog, Failure> {
        let Some(path) = &self.config else {
            let store = store::Config { url: self.store.clone().unwrap_or_default() };
            let archive = ArchiveSettings::default();
            return Ok(OpenLog { store, origin: ORIGIN.into(), key_file: None, archive });
        };
        let settings = Settings::load(path, &ProcessEnv).map_err(|diagnostics| {
            let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            Failure::Settings(lines.join("\n"))
        })?;
        let store = settings.store.config;
        let (origin, key_file) = (settings.audit.checkpoint_origin, settings.audit.checkpoint_key_file);
        Ok(OpenLog { store, origin, key_file, archive: settings.audit.archive })
    }

    async fn open(&self) -> Result<ReadOnlyStore, Failure> {
        Ok(store::open_reader(&self.log()?.store).await?)
    }
}

// === impl OpenLog ===

impl OpenLog {
    /// The verifier keys that are trusted from the start: those of `--verifier`, or of the signing key.
    fn verifiers(&self, trust: &TrustArgs) -> Result<Vec<String>, Failure> {
        if trust.verifier.is_empty() {
            return Ok(SigningKey::open(&self.key_file()?, &self.origin)?.verifiers());
        }
        let verifier = |path: &String| {
            let verifier = fs::read_to_string(path).unwrap_or_else(|_not_a_file| path.clone());
            verifier.trim().to_owned()
        };
        let verifier: Vec<String> = trust.verifier.iter().map(verifier).collect();
        if verifier.iter().all(|key| checkpoint::is_verifier(key)) {
            Ok(verifier)
        } else {
            Err("--verifier is neither a verifier key nor a file that contains one".into())
        }
    }

    /// The path of the signing key: the configured one, or the default one next to the store file.
    fn key_file(&self) -> Result<PathBuf, Failure> {
        let default = || self.store.file().map(|file| checkpoint::default_key_path(&file));
        let path = self.key_file.clone().or_else(default);
        Ok(path.ok_or("the key that signs the log is not known: name its verifier key with --verifier")?)
    }

    /// All keys that may sign: `trusted_keys`, and those that the key rotations in the log and its archive
    /// connect with them.
    async fn trusted(
        &self,
        open: &ReadOnlyStore,
        trusted_keys: &[String],
        archive: Option<&ArchiveReader>,
    ) -> Result<Vec<String>, Failure> {
        Ok(log_verification::trusted(&*open.log, &*open.tree, &self.origin, trusted_keys, archive).await?)
    }

    /// The newest checkpoint. Read it before [`OpenLog::trusted`], because the key may change in between.
    async fn latest_checkpoint(open: &ReadOnlyStore) -> Result<String, Failure> {
        let signed = open.tree.checkpoint().await?.ok_or("the log has no checkpoint yet")?;
        Ok(signed.note)
    }

    /// Parses a checkpoint, which must have the signature of one of the `trusted` keys.
    fn read(&self, note: &str, trusted: &[String]) -> Result<Checkpoint, Failure> {
        Ok(checkpoint::read(note.as_bytes(), &self.origin, trusted)?)
    }
}

// === impl Failure ===

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}
