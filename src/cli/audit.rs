//! `logkey audit`: reads and checks the audit log, also while the service runs; moves old events out, and
//! changes the key that signs.

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

/// Where the log's name is not told.
const ORIGIN: &str = "logkey";

/// What `logkey audit` is asked.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show events, newest first.
    List(list::ListArgs),
    /// Show one event whole.
    Show(show::ShowArgs),
    /// Check that the log is whole: 0 if it is, 1 if it was changed, 2 if that cannot be told.
    Verify(verify::VerifyArgs),
    /// Write the log as files that other people's tools can check.
    Export(export::ExportArgs),
    /// Write a proof that an event is in the log.
    Prove(prove::ProveArgs),
    /// Move old events out to an archive. With SQLite the service must be stopped.
    Archive(archive::ArchiveArgs),
    /// Have another key sign the log's checkpoints.
    RotateKey(rotate_key::RotateKeyArgs),
}

/// Where the log is.
#[derive(Debug, Args)]
struct LogLocation {
    /// The service's configuration.
    #[arg(long, value_name = "FILE", required_unless_present = "store", conflicts_with = "store")]
    config: Option<PathBuf>,
    /// The store itself, such as `sqlite://logkey.db` or `postgres://logkey@db.example.com/logkey`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// Whose signature the log's checkpoints carry.
#[derive(Debug, Args)]
struct TrustArgs {
    /// A verifier key that was kept, or the file that holds it; otherwise it is taken from the log's
    /// signing key. May be given several times.
    #[arg(long, value_name = "KEY")]
    verifier: Vec<String>,
}

/// The log as the command line names it.
struct OpenLog {
    store: store::Config,
    origin: Box<str>,
    key_file: Option<PathBuf>,
    archive: ArchiveSettings,
}

/// Why a verb did not do what it should: printed once, by [`run`].
#[derive(Debug)]
enum Failure {
    /// The configuration has faults.
    Settings(String),
    /// Anything else.
    Other(Box<dyn Error + Send + Sync>),
}

/// Does what was asked, prints it, and tells how it ended: 2 where the configuration is at fault or a
/// check cannot be made, otherwise as the verb says.
pub async fn run(args: AuditArgs) -> ExitCode {
    let checks = matches!(args.verb, Verb::Verify(_));
    let done = match args.verb {
        Verb::List(args) => list::run(args).await,
        Verb::Show(args) => show::run(args).await,
        Verb::Verify(args) => verify::run(args).await,
        Verb::Export(args) => export::run(args).await,
        Verb::Prove(args) => prove::run(args).await,
        Verb::Archive(args) => archive::run(args).await,
        Verb::RotateKey(args) => rotate_key::run(args).await,
    };
    match done {
        Ok(code) => code,
        Err(Failure::Settings(faults)) => {
            print(&faults);
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            print(&format!("logkey: {}", error_chain(&*error)));
            ExitCode::from(if checks { 2 } else { 1 })
        }
    }
}

/// A line for people; whoever closed the stream does not want it.
fn print(line: &str) {
    drop(writeln!(anstream::stderr(), "{line}"));
}

// === impl Place ===

impl LogLocation {
    fn log(&self) -> Result<OpenLog, Failure> {
        let Some(path) = &self.config else {
            let store = store::Config { url: self.store.clone().unwrap_or_default() };
            let archive = ArchiveSettings::default();
            return Ok(OpenLog { store, origin: ORIGIN.into(), key_file: None, archive });
        };
        let settings = Settings::load(path, &ProcessEnv).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
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

// === impl Log ===

impl OpenLog {
    /// The verifier keys to begin with.
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
            Err("--verifier is neither a verifier key nor the file of one".into())
        }
    }

    /// Where the signing key is.
    fn key_file(&self) -> Result<PathBuf, Failure> {
        let beside = || self.store.file().map(|file| checkpoint::default_key_path(&file));
        let path = self.key_file.clone().or_else(beside);
        Ok(path.ok_or("which key signs the log? Name it with --verifier")?)
    }

    /// The keys that may sign, as far as the log itself and its archive lead there from those that are
    /// known.
    async fn trusted(
        &self,
        open: &ReadOnlyStore,
        trusted_keys: &[String],
        archive: Option<&ArchiveReader>,
    ) -> Result<Vec<String>, Failure> {
        Ok(log_verification::trusted(&*open.log, &*open.tree, &self.origin, trusted_keys, archive).await?)
    }

    /// The newest checkpoint. To be taken before it is asked who may sign, since the key may change.
    async fn latest_checkpoint(open: &ReadOnlyStore) -> Result<String, Failure> {
        let signed = open.tree.checkpoint().await?.ok_or("the log has no checkpoint yet")?;
        Ok(signed.note)
    }

    /// What a checkpoint says that is signed by one of these.
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
