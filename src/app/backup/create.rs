//! Makes a backup, also while the service runs.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    error::BackupError,
    files,
    manifest::{CHECKPOINT, Contents, DATABASE, KEY, Manifest},
};
use crate::{
    app::SystemClock,
    audit::{
        Sequencer,
        checkpoint::{KeyError, SigningKey},
    },
    ports::{Clock as _, EventFilter},
    store,
};

/// Only the owner may look into the folder.
const FOLDER_MODE: u32 = 0o700;

/// What to back up.
#[derive(Clone, Debug)]
pub struct BackupSource {
    /// The store.
    pub store: store::Config,
    /// The log's name in its checkpoints.
    pub origin: Box<str>,
    /// The key that signs checkpoints; `None` makes a backup without it.
    pub key_file: Option<PathBuf>,
}

/// Writes a backup to a folder that is empty or does not exist. The copy of the store is of one moment. With a
/// key, the end of the copied log is checked against its checkpoint.
///
/// # Errors
///
/// [`BackupError`]. The folder then has no manifest.
pub async fn back_up(source: &BackupSource, folder: &Path) -> Result<Manifest, BackupError> {
    let BackupSource { store, origin, key_file } = source;
    if store.is_shared() {
        return Err(BackupError::Shared);
    }
    create_folder(folder)?;
    let created = Timestamp::from_microsecond(SystemClock.now().as_micros()).unwrap_or_default();
    let (database, mut names) = (folder.join(DATABASE), vec![DATABASE, CHECKPOINT]);
    drop(files::create_new(&database)?);
    store::copy(store, &database).await?;
    // The key is read after the store. While a key is being replaced, the file holds the former one too.
    let key = key_file.as_deref().map(|path| copy_key(path, folder, origin)).transpose()?;
    let copy = store::open_reader(&store::Config::of_file(&database)).await?;
    let signed = copy.tree.checkpoint().await?;
    let size = signed.as_ref().map_or(0, |signed| signed.size);
    let newest = copy.log.list(&EventFilter::default(), None, 1).await?;
    if let Some(key) = key {
        names.push(KEY);
        let (log, tree) = (Arc::clone(&copy.log), Arc::clone(&copy.tree));
        Sequencer::check(log, tree, Arc::new(SystemClock), key).await.map_err(BackupError::Log)?;
    }
    let note = signed.map(|signed| signed.note).unwrap_or_default();
    files::write_new(&folder.join(CHECKPOINT), note.as_bytes())?;
    let contents = Contents {
        created: created.to_string(),
        origin: origin.to_string(),
        events: newest.first().map_or(0, |event| event.seq),
        signed: size,
    };
    Manifest::write(folder, contents, &names)
}

fn create_folder(folder: &Path) -> Result<(), BackupError> {
    let failed = |source| files::file(folder, source);
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
    if fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(BackupError::NotEmpty(folder.to_owned()));
    }
    Ok(())
}

fn copy_key(path: &Path, folder: &Path, origin: &str) -> Result<SigningKey, BackupError> {
    let failed = |source| BackupError::Key(KeyError::File { path: path.to_owned(), source });
    let bytes = fs::read(path).map_err(failed)?;
    let copy = folder.join(KEY);
    files::write_new(&copy, &bytes)?;
    SigningKey::open(&copy, origin).map_err(BackupError::Key)
}
