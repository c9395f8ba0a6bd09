//! `LazyFS`, a FUSE file system that forgets on command what was not synced: other people's word on the
//! same question as `disk.c`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::process::until;

/// Mounted until this is dropped.
pub(crate) struct LazyFs {
    child: Child,
    at: PathBuf,
    beside: TempDir,
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
        let lazy = Self { child, at: at.to_owned(), beside };
        until("LazyFS", async || {
            fs::read_to_string("/proc/mounts").unwrap().contains(at.to_str().unwrap())
                && lazy.beside.path().join("done").exists()
        })
        .await;
        lazy
    }

    /// Forgets what was not synced, and waits until that is done.
    pub(crate) fn cut_power(&self) {
        fs::write(self.beside.path().join("orders"), "lazyfs::clear-cache\n").unwrap();
        let mut told = String::new();
        let done = fs::File::open(self.beside.path().join("done")).unwrap();
        BufReader::new(done).read_line(&mut told).unwrap();
        assert_eq!(told.trim(), "finished::clear-cache");
    }
}

impl Drop for LazyFs {
    fn drop(&mut self) {
        drop(Command::new("fusermount3").arg("-u").arg(&self.at).status());
        drop(self.child.wait());
    }
}
