//! Writes files in the tlog-tiles layout (<https://c2sp.org/tlog-tiles>), for exports and archives.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::tree;
use crate::ports::Tile;

/// A folder in the tlog-tiles layout.
#[derive(Debug)]
pub(super) struct TileDirectory<'p> {
    folder: &'p Path,
    /// Whether each file is synced to disk before the next step.
    durable: bool,
    touched: BTreeSet<PathBuf>,
}

/// Creates a folder and syncs the names in it, its own name, and those of the folders above it. An interrupted run
/// may have created them without a sync.
pub(super) fn make(folder: &Path) -> io::Result<()> {
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

/// Creates or replaces a file that only its owner can read, because events contain personal data.
fn create_file(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The mode of an existing file may be another one.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

// === impl TileDirectory ===

impl<'p> TileDirectory<'p> {
    pub(super) fn new(folder: &'p Path, durable: bool) -> Self {
        Self { folder, durable, touched: BTreeSet::new() }
    }

    pub(super) fn tile(&mut self, tile: &Tile) -> io::Result<()> {
        let path = tree::path(&tile.level.to_string(), tile.index, tile.hashes.len() / tree::HASH);
        self.write(&path, &tile.hashes)
    }

    /// Writes a file under `tile/`.
    pub(super) fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join("tile").join(path);
        if let Some(parent) = path.parent() {
            create_folder(parent)?;
            self.touched.extend(
                parent.ancestors().take_while(|above| above.starts_with(self.folder)).map(Into::into),
            );
        }
        let mut file = create_file(&path)?;
        file.write_all(bytes)?;
        if self.durable { file.sync_all() } else { Ok(()) }
    }

    /// Writes or atomically replaces a file next to `tile/`. When its name is durable, so are those of all files that
    /// were written before.
    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, temporary) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let mut file = create_file(&temporary)?;
        file.write_all(bytes)?;
        if self.durable {
            file.sync_all()?;
        }
        self.fsync()?;
        fs::rename(temporary, path)?;
        self.touched.insert(self.folder.to_owned());
        self.fsync()
    }

    /// Syncs the names of the written files to disk.
    pub(super) fn fsync(&mut self) -> io::Result<()> {
        let touched = std::mem::take(&mut self.touched);
        if self.durable {
            touched.iter().try_for_each(|folder| File::open(folder)?.sync_all())?;
        }
        Ok(())
    }
}
