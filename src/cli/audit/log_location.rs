//! Finds and opens the audit log, and the keys that may sign its checkpoints.

use std::{fs, path::PathBuf, sync::Arc};

use clap::Args;

use super::failure::Failure;
use crate::{
    app::archive_files,
    audit::{
        LogFolder,
        archive::ArchiveReader,
        checkpoint::{self, SigningKey},
        verify::TrustedLog,
    },
    cli::config_file::ConfigFile,
    config::{ArchiveSettings, ArchiveTarget, ProcessEnv, Settings},
    ports::{EventReader, log_files::LogFiles},
    store::{self, ReadOnlyStore},
};

/// The log's name in its checkpoints, if no configuration names it.
const ORIGIN: &str = "logkey";

/// Where the log is.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogLocation {
    #[command(flatten)]
    config: ConfigFile,
    /// The URL of the store, such as `sqlite://logkey.db` or `postgres://logkey@db.example.com/logkey`.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    store: Option<String>,
}

/// The keys that may sign the log's checkpoints.
#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// A verifier key that you trust, or a file that contains it; you can repeat it [default: the verifier
    /// keys of the log's signing key].
    #[arg(long, value_name = "KEY")]
    verifier: Vec<String>,
}

/// Where the arguments say that the log, its key and its archive are.
pub(in crate::cli) struct OpenLog {
    pub(in crate::cli) store: store::Config,
    pub(in crate::cli) origin: Box<str>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) archive: ArchiveSettings,
    /// How to reach a bucket. `None` without settings.
    aws: Option<crate::aws::Config>,
}

// === impl LogLocation ===

impl LogLocation {
    pub(in crate::cli) fn log(&self) -> Result<OpenLog, Failure> {
        if let Some(url) = self.store.clone() {
            let (store, archive) = (store::Config { url }, ArchiveSettings::default());
            return Ok(OpenLog { store, origin: ORIGIN.into(), key_file: None, archive, aws: None });
        }
        let settings =
            Settings::load(&self.config.path(&ProcessEnv), &ProcessEnv).map_err(|diagnostics| {
                let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                Failure::Settings(lines.join("\n"))
            })?;
        let store = settings.store.config;
        let (origin, key_file) = (settings.audit.checkpoint_origin, settings.audit.checkpoint_key_file);
        Ok(OpenLog { store, origin, key_file, archive: settings.audit.archive, aws: Some(settings.aws) })
    }
}

// === impl OpenLog ===

impl OpenLog {
    /// The verifier keys that are trusted from the start: those of `--verifier`, or of the signing key.
    pub(super) fn verifiers(&self, trust: &TrustArgs) -> Result<Vec<String>, Failure> {
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
    pub(in crate::cli) fn key_file(&self) -> Result<PathBuf, Failure> {
        let default = || self.store.file().map(|file| checkpoint::default_key_path(&file));
        let path = self.key_file.clone().or_else(default);
        Ok(path.ok_or("the key that signs the log is not known: name its verifier key with --verifier")?)
    }

    /// The archive that an argument names, or else the one of the settings if the log does not have its first event
    /// any more.
    pub(super) async fn archive_reader(
        &self,
        argument: Option<&ArchiveTarget>,
        log: &dyn EventReader,
    ) -> Result<Option<ArchiveReader>, Failure> {
        if let Some(named) = argument {
            return Ok(Some(ArchiveReader::open(self.files(named).await?).await?));
        }
        let Some(target) = &self.archive.target else { return Ok(None) };
        let is_complete = log.after(0, 1).await?.first().is_none_or(|event| event.seq == 1);
        Ok(if is_complete { None } else { ArchiveReader::open_existing(self.files(target).await?).await? })
    }

    /// The files of an archive.
    pub(super) async fn files(&self, archive: &ArchiveTarget) -> Result<Arc<dyn LogFiles>, Failure> {
        match (archive, &self.aws) {
            (ArchiveTarget::Folder(folder), _) => Ok(Arc::new(LogFolder::durable(folder))),
            (ArchiveTarget::S3(_), Some(aws)) => Ok(archive_files(archive, aws).await),
            (ArchiveTarget::S3(_), None) => {
                Err("the Region of the archive is not known: name the settings with --config".into())
            }
        }
    }

    /// The keys that the log leads to from `trusted_keys`, and its checkpoints.
    pub(super) async fn trusted(
        &self,
        open: &ReadOnlyStore,
        trusted_keys: &[String],
        archive: Option<&ArchiveReader>,
    ) -> Result<TrustedLog, Failure> {
        Ok(TrustedLog::load(&*open.log, &*open.tree, &self.origin, trusted_keys, archive).await?)
    }
}
