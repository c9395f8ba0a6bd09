//! A file sink with one line for each event, rotated by size. Every batch is synced before it counts as
//! written, so that it survives a power failure. If the file was moved away, the sink creates a new one.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::writer_thread::{WriteLines, WriterThread};
use crate::ports::{Sink, SinkError, SinkRecord};

/// Only the owner can read and write the file, because the log names people.
const MODE: u32 = 0o600;
/// How many bytes at the end are searched for the start of an incomplete line: more than the longest event.
const TAIL: u64 = 1 << 20;

/// The path and the rotation of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file. Older files are next to it as `PATH.1`, `PATH.2` and so on.
    pub path: PathBuf,
    /// The size in bytes beyond which the sink starts a new file.
    pub max_bytes: u64,
    /// How many older files are kept.
    pub keep: u32,
}

/// Writes to a file, and to a new one after each rotation.
#[derive(Debug)]
pub struct RotatingFile(WriterThread);

#[derive(Debug)]
struct Rotating {
    config: Config,
    /// None before the first write and after an error.
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    size: u64,
    /// Device and inode.
    id: (u64, u64),
}

// === impl RotatingFile ===

impl RotatingFile {
    /// Starts the writer thread. The first line opens the file.
    ///
    /// # Errors
    ///
    /// The operating system cannot create a thread.
    pub fn new(config: Config) -> io::Result<Self> {
        WriterThread::start("audit-file", Rotating { config, open: None }).map(Self)
    }
}

#[async_trait]
impl Sink for RotatingFile {
    async fn write(&self, lines: &[SinkRecord]) -> Result<usize, SinkError> {
        self.0.write(lines).await
    }
}

// === impl Rotating ===

impl WriteLines for Rotating {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.write(lines);
        if written.is_err() {
            // Open the file again, which removes an incomplete line of the failed write.
            self.open = None;
        }
        written
    }
}

impl Rotating {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = self.take_open()?;
        let (mut from, mut to) = (0, 0);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let size = open.size + (to - from) as u64;
            if size > 0 && size + line.len() as u64 > self.config.max_bytes {
                open.append(lines.get(from..to).unwrap_or_default())?;
                from = to;
                self.rotate()?;
                open = OpenFile::open_after_last_line(&self.config.path)?;
            }
            to += line.len();
        }
        open.append(lines.get(from..to).unwrap_or_default())?;
        self.open = Some(open);
        Ok(())
    }

    /// The file at the configured path. Opens it again if the path now names another file.
    fn take_open(&mut self) -> io::Result<OpenFile> {
        let current_id = fs::metadata(&self.config.path).map(|found| id(&found)).ok();
        match self.open.take() {
            Some(open) if current_id == Some(open.id) => Ok(open),
            _ => OpenFile::open_after_last_line(&self.config.path),
        }
    }

    /// Renames the file and the older ones to their next numbers. This overwrites the oldest.
    fn rotate(&self) -> io::Result<()> {
        let path = &self.config.path;
        for number in (0..self.config.keep).rev() {
            let from = if number == 0 { path.clone() } else { rotated_path(path, number) };
            match fs::rename(from, rotated_path(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        sync_folder(path)
    }
}

fn rotated_path(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn id(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

// === impl OpenFile ===

impl OpenFile {
    /// Opens the file after its last complete line. Creates it if it does not exist.
    fn open_after_last_line(path: &Path) -> io::Result<Self> {
        // Opening a pipe would block.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("the path is not a regular file"));
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
        sync_folder(path)?;
        end_torn_line(&mut file)?;
        let found = file.metadata()?;
        Ok(Self { file, size: found.len(), id: id(&found) })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.file.write_all(lines)?;
        self.size += lines.len() as u64;
        self.file.sync_data()
    }
}

/// Removes an incomplete line that an earlier write left, because the same line is written again. Text that
/// does not look like an event stays, followed by a new line.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    let size = file.metadata()?.len();
    let start = size.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    io::Read::take(&mut *file, TAIL).read_to_end(&mut tail)?;
    let line_start = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = tail.get(line_start..).unwrap_or_default();
    match torn.first() {
        None => Ok(()),
        Some(b'{') if line_start > 0 || start == 0 => file.set_len(start + line_start as u64),
        Some(_) => file.write_all(b"\n"),
    }
}
