//! `LazyFS`, a FUSE file system that forgets on command what was not synced: other people's word on the
//! same question as `disk.c`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::unix::pipe::{OpenOptions, Receiver},
    sync::Mutex,
};

use crate::process::until;

/// By when an order is carried out.
const DONE_WITHIN: Duration = Duration::from_mins(1);

/// Mounted until this is dropped.
pub(crate) struct LazyFs {
    child: Child,
    at: PathBuf,
    beside: TempDir,
    /// Open as long as `LazyFS` runs: what it says while nobody has its pipe open is lost, and so is
    /// whoever comes later to read it.
    done: Mutex<BufReader<Receiver>>,
}

// === impl LazyFs ===

impl LazyFs {
    /// Over a folder that is empty.
    #[expect(clippy::disallowed_methods, reason = "where a tool is, is no setting of the service")]
    pub(crate) async fn mount(at: &Path) -> Self {
        let program = std::env::var("LOGKEY_LAZYFS").expect("LOGKEY_LAZYFS names LazyFS's program");
        let beside = tempfile::tempdir().unwrap();
        let path = |name: &str| beside.path().join(name);
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
        let is_there = || path("orders").exists() && path("done").exists();
        until("LazyFS", async || {
            fs::read_to_string("/proc/mounts").unwrap().contains(at.to_str().unwrap()) && is_there()
        })
        .await;
        // For writing too, so that opening it waits for nobody.
        let done = OpenOptions::new().read_write(true).open_receiver(path("done")).unwrap();
        Self { child, at: at.to_owned(), beside, done: Mutex::new(BufReader::new(done)) }
    }

    /// Forgets what was not synced, and waits until that is done.
    pub(crate) async fn cut_power(&self) {
        fs::write(self.beside.path().join("orders"), "lazyfs::clear-cache\n").unwrap();
        let (mut output, mut done) = (String::new(), self.done.lock().await);
        let read = tokio::time::timeout(DONE_WITHIN, done.read_line(&mut output)).await;
        read.expect("LazyFS says that it is done").unwrap();
        assert_eq!(output.trim(), "finished::clear-cache");
    }
}

impl Drop for LazyFs {
    fn drop(&mut self) {
        // Also where a test that failed left a file open.
        drop(Command::new("fusermount3").args(["-u", "-z"]).arg(&self.at).status());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
