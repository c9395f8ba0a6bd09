//! `LazyFS`, a FUSE file system that discards unsynced data on command. It tests the same as `disk.c`, but
//! with an independent implementation.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::unix::pipe::{OpenOptions, Receiver},
    sync::Mutex,
};

use crate::{child::KillOnDrop, process::until};

/// The time limit for a command to `LazyFS`.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

/// A mounted file system, unmounted on drop.
pub(crate) struct LazyFs {
    _child: KillOnDrop,
    at: PathBuf,
    temp: TempDir,
    /// Open as long as `LazyFS` runs. A message that it writes while no reader has the pipe open is lost, and
    /// a later reader waits for it forever.
    done: Mutex<BufReader<Receiver>>,
}

// === impl LazyFs ===

impl LazyFs {
    /// Mounts the file system over an empty folder.
    #[expect(clippy::disallowed_methods, reason = "the path of a test tool is no setting of the service")]
    pub(crate) async fn mount(at: &Path) -> Self {
        let program = std::env::var("LOGKEY_LAZYFS").expect("LOGKEY_LAZYFS names LazyFS's program");
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        let root = path("root");
        fs::create_dir(&root).unwrap();
        let settings = format!(
            "[faults]\nfifo_path=\"{}\"\nfifo_path_completed=\"{}\"\n[cache]\napply_eviction=false\n[cache.simple]\ncustom_size=\"0.5gb\"\nblocks_per_page=1\n[filesystem]\nlog_all_operations=false\nlogfile=\"\"\n",
            path("orders").display(),
            path("done").display()
        );
        fs::write(path("lazyfs.toml"), settings).unwrap();
        let subdir = format!("subdir={}", root.display());
        let child = Command::new(program)
            .arg(at)
            .arg("--config-path")
            .arg(path("lazyfs.toml"))
            .args(["-o", "allow_other", "-o", "modules=subdir", "-o", &subdir, "-f"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipes_exist = || path("orders").exists() && path("done").exists();
        until("LazyFS", async || {
            fs::read_to_string("/proc/mounts").unwrap().contains(at.to_str().unwrap()) && pipes_exist()
        })
        .await;
        // Open for writing too, so that opening does not wait for a writer.
        let done = OpenOptions::new().read_write(true).open_receiver(path("done")).unwrap();
        Self { _child: KillOnDrop(child), at: at.to_owned(), temp, done: Mutex::new(BufReader::new(done)) }
    }

    /// Discards unsynced data and waits until that is done.
    pub(crate) async fn cut_power(&self) {
        fs::write(self.temp.path().join("orders"), "lazyfs::clear-cache\n").unwrap();
        let (mut output, mut done) = (String::new(), self.done.lock().await);
        let read = tokio::time::timeout(COMMAND_TIMEOUT, done.read_line(&mut output)).await;
        read.expect("LazyFS confirms the command").unwrap();
        assert_eq!(output.trim(), "finished::clear-cache");
    }
}

impl Drop for LazyFs {
    fn drop(&mut self) {
        // `-z` unmounts even if a failed test left a file open.
        drop(Command::new("fusermount3").args(["-u", "-z"]).arg(&self.at).status());
    }
}
