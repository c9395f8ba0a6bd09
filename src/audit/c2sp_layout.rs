//! A folder with the files of a log in the tlog-tiles layout (<https://c2sp.org/tlog-tiles>).

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use super::tree;
use crate::ports::{
    Tile,
    log_files::{FilesError, LogFiles},
};

/// A folder with the files of a log. Only its owner can read them, because events contain personal data.
#[derive(Clone, Debug)]
pub struct LogFolder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Whether each file is synced to disk before the next step.
    durable: bool,
    /// The folders whose names are not synced yet.
    touched: Mutex<BTreeSet<PathBuf>>,
}

/// Creates a folder and syncs the names in it, its own name, and those of the folders above it. An interrupted run
/// may have created them without a sync.
fn make(folder: &Path) -> io::Result<()> {
    create_folder(folder)?;
    for folder in fs::canonicalize(folder)?.ancestors() {
        match File::open(folder) {
            Ok(folder) => folder.sync_all()?,
            // This user cannot have created anything in a folder that it may not open.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Creates a folder, and those above it, that only its owner can open. An existing folder stays as it is.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn create_file(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The mode of an existing file may be another one.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Writes a tile to its path in the layout.
pub(super) async fn write_tile(files: &dyn LogFiles, tile: Tile) -> Result<(), FilesError> {
    let path = tree::path(&tile.level.to_string(), tile.index, tile.hashes.len() / tree::HASH);
    files.write(&format!("tile/{path}"), tile.hashes).await
}

// === impl LogFolder ===

impl LogFolder {
    /// The files of an archive, which are synced to disk.
    #[must_use]
    pub fn durable(folder: &Path) -> Self {
        Self::new(folder, true)
    }

    /// The files of an export, which can be written again.
    pub(super) fn not_durable(folder: &Path) -> Self {
        Self::new(folder, false)
    }

    fn new(folder: &Path, durable: bool) -> Self {
        Self(Arc::new(Inner { folder: folder.to_owned(), durable, touched: Mutex::default() }))
    }

    /// Runs `work` where it does not delay other tasks.
    async fn run<T: Send + 'static>(
        &self,
        path: &str,
        operation: &'static str,
        work: impl FnOnce(&Inner, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, FilesError> {
        let (inner, path) = (Arc::clone(&self.0), self.0.folder.join(path));
        let file = path.display().to_string();
        let done = spawn_blocking(move || work(&inner, &path)).await;
        let done = done.unwrap_or_else(|ended| Err(io::Error::other(ended)));
        done.map_err(|source| FilesError { file, operation, source: source.into() })
    }
}

#[async_trait]
impl LogFiles for LogFolder {
    async fn prepare(&self) -> Result<(), FilesError> {
        let prepare = |inner: &Inner, folder: &Path| {
            if inner.durable { make(folder) } else { create_folder(folder) }
        };
        self.run("", "written", prepare).await
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        let read = |_: &Inner, path: &Path| match fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        self.run(path, "read", read).await
    }

    async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), FilesError> {
        self.run(path, "written", move |inner, path| inner.write(path, &content)).await
    }

    async fn replace(&self, path: &str, content: Vec<u8>) -> Result<(), FilesError> {
        self.run(path, "written", move |inner, path| inner.replace(path, &content)).await
    }
}

impl fmt::Display for LogFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.folder.display())
    }
}

// === impl Inner ===

impl Inner {
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            create_folder(parent)?;
            let touched = parent.ancestors().take_while(|above| above.starts_with(&self.folder));
            self.touched.lock().extend(touched.map(Into::into));
        }
        let mut file = create_file(path)?;
        file.write_all(content)?;
        if self.durable { file.sync_all() } else { Ok(()) }
    }

    /// When the name of the new file is durable, so are those of all files that were written before.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        self.write(Path::new(&temporary), content)?;
        self.sync_names()?;
        fs::rename(&temporary, path)?;
        self.touched.lock().extend(path.parent().map(Into::into));
        self.sync_names()
    }

    fn sync_names(&self) -> io::Result<()> {
        let touched = std::mem::take(&mut *self.touched.lock());
        if self.durable {
            touched.iter().try_for_each(|folder| File::open(folder)?.sync_all())?;
        }
        Ok(())
    }
}
