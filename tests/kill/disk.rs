//! A disk that keeps only what was synced: `disk.c`, preloaded into the service, keeps the synced image of
//! each file beside it, and [`Disk::cut_power`] leaves nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rand::{Rng as _, rngs::StdRng};
use tempfile::TempDir;

/// What the hardware writes whole.
const SECTOR: usize = 512;

/// What syncs do from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    Work,
    FailOnce,
    Fail,
    Hang,
    Slow,
    /// They say that all is well.
    Lie,
}

/// What is left of what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaves {
    Nothing,
    /// Any of its sectors.
    Some,
}

/// The disk under a folder.
pub(crate) struct Disk {
    folder: PathBuf,
    shadow: PathBuf,
    beside: TempDir,
}

// === impl Disk ===

impl Disk {
    /// Under a folder that exists; the files in it are on the disk already.
    pub(crate) fn under(folder: &Path) -> Self {
        let beside = tempfile::tempdir().unwrap();
        let (source, library) =
            (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill/disk.c"), beside.path().join("disk.so"));
        let arguments = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
        let built =
            Command::new("cc").args(arguments).arg(&library).args([source, "-ldl", "-lpthread"]).status();
        assert!(built.expect("a C compiler is needed: apt-get install gcc libc6-dev").success());
        let shadow = beside.path().join("shadow");
        fs::create_dir(&shadow).unwrap();
        for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            fs::copy(file.path(), shadow.join(format!("{name}.data"))).unwrap();
            fs::write(shadow.join(format!("{name}.named")), "").unwrap();
        }
        Self { folder: folder.canonicalize().unwrap(), shadow, beside }
    }

    /// What a process needs in its environment to write to this disk.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD", text(&self.beside.path().join("disk.so"))),
            ("LOGKEY_DISK_FOLDER", text(&self.folder)),
            ("LOGKEY_DISK_SHADOW", text(&self.shadow)),
        ]
    }

    pub(crate) fn syncs(&self, syncs: Syncs) {
        let word = match syncs {
            Syncs::Work => "",
            Syncs::FailOnce => "once",
            Syncs::Fail => "fail",
            Syncs::Hang => "hang",
            Syncs::Slow => "slow",
            Syncs::Lie => "ignore",
        };
        // Whole at once: it is read at any moment.
        let new = self.shadow.join(".new");
        fs::write(&new, word).unwrap();
        fs::rename(new, self.shadow.join(".control")).unwrap();
    }

    /// Leaves what was synced, and no process may have the files open.
    pub(crate) fn cut_power(&self, leaves: Leaves, rng: &mut StdRng) {
        self.cut(&self.folder, leaves, rng);
    }

    fn cut(&self, folder: &Path, leaves: Leaves, rng: &mut StdRng) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&self.folder).unwrap().to_str().unwrap().replace('/', "!");
            let shadow = |kind: &str| self.shadow.join(format!("{name}.{kind}"));
            let stays = shadow("named").exists() || (matches!(leaves, Leaves::Some) && rng.random());
            let in_memory = name.ends_with("-shm") || path.extension().is_some_and(|end| end == "lock");
            if !stays || in_memory {
                self.forget(&path, &name);
                continue;
            }
            // The process that comes next finds it on the disk, and nothing of it lost or pending.
            fs::write(shadow("named"), "").unwrap();
            if path.is_dir() {
                self.cut(&path, leaves, rng);
                continue;
            }
            let synced = fs::read(shadow("data")).unwrap_or_default();
            let bytes = match leaves {
                Leaves::Nothing => synced,
                Leaves::Some => mixed(&synced, &fs::read(&path).unwrap(), rng),
            };
            fs::write(&path, &bytes).unwrap();
            fs::write(shadow("data"), bytes).unwrap();
            drop(fs::remove_file(shadow("lost")));
        }
    }

    /// Nothing is left of a name, and of what is under it.
    fn forget(&self, path: &Path, name: &str) {
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        for shadow in fs::read_dir(&self.shadow).unwrap().map(|entry| entry.unwrap().path()) {
            let of = shadow.file_stem().unwrap().to_str().unwrap();
            if of == name || of.strip_prefix(name).is_some_and(|rest| rest.starts_with('!')) {
                fs::remove_file(&shadow).unwrap();
            }
        }
    }
}

/// Each sector as it was synced, or as it was written later.
fn mixed(synced: &[u8], written: &[u8], rng: &mut StdRng) -> Vec<u8> {
    if synced == written {
        return synced.to_vec();
    }
    let (shorter, longer) = (synced.len().min(written.len()), synced.len().max(written.len()));
    let length = rng.random_range(shorter..=longer);
    let chance = rng.random_range(0.0..=1.0);
    let mut left = Vec::with_capacity(length);
    while left.len() < length {
        let sector = left.len()..(left.len() + SECTOR).min(length);
        let later = rng.random_bool(chance);
        left.extend(sector.map(|at| {
            let (old, new) = (synced.get(at), written.get(at));
            *if later { new.or(old) } else { old }.unwrap_or(&0)
        }));
    }
    left
}

#[test]
#[ignore = "tests/run kill"]
fn the_disk_keeps_what_was_synced_and_nothing_else() {
    use rand::SeedableRng as _;
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::under(folder.path());
    let sh = |script: &str| {
        let done = Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .envs(disk.environment())
            .output();
        done.unwrap().status.success()
    };
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
    let mut rng = StdRng::seed_from_u64(1);
    let mut cut = || disk.cut_power(Leaves::Nothing, &mut rng);
    let some = |text: &str| Some(text.to_owned());

    assert!(sh("printf one >a; printf two >b; printf three >c; sync a . ; sync b"));
    cut();
    // The name of b was there when the folder was synced, what it holds was synced later; c was not.
    assert_eq!((read("a"), read("b"), read("c")), (some("one"), some("two"), some("")));

    assert!(sh("printf four >>a; printf new >d; sync d"));
    cut();
    assert_eq!((read("a"), read("d")), (some("one"), None));

    // A file is there if the way to it is.
    assert!(sh("mkdir -p e/f g; printf deep >e/f/h; printf new >g/i; sync e/f/h e/f g/i; sync e; sync ."));
    cut();
    assert_eq!((read("e/f/h"), read("g/i")), (some("deep"), None));
    assert!(sh("mkdir -p e/j; printf lost >e/j/k; sync e/j/k e/j"));
    cut();
    assert!(folder.path().join("e/f").exists() && !folder.path().join("e/j").exists());

    disk.syncs(Syncs::FailOnce);
    assert!(!sh("printf five >>a; sync a"));
    assert!(sh("sync a"), "the second time it says yes");
    cut();
    assert_eq!(read("a").unwrap().trim_end_matches('\0'), "one", "what was lost once stays lost");

    disk.syncs(Syncs::FailOnce);
    assert!(!sh("printf six >a; sync a"));
    assert!(sh("printf six >a; sync a"), "written anew");
    cut();
    assert_eq!(read("a"), some("six"));

    disk.syncs(Syncs::Lie);
    assert!(sh("printf seven >a; sync a"));
    cut();
    assert_eq!(read("a"), some("six"));
}
