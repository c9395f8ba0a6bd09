//! A simulated disk that loses unsynced data. `disk.c` is preloaded into the service and stores the synced
//! image of each file; [`Disk::cut_power`] restores these images.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rand::{Rng as _, rngs::StdRng};
use tempfile::TempDir;

/// The size of a write that the hardware does atomically.
const SECTOR: usize = 512;

/// The behaviour of syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    Work,
    FailOnce,
    Fail,
    Hang,
    Slow,
    /// They report success and do nothing.
    Lie,
}

/// What remains of unsynced data after a power cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unsynced {
    AllLost,
    /// A random part of its sectors remains.
    PartlyLost,
}

/// A simulated disk for one folder.
pub(crate) struct Disk {
    folder: PathBuf,
    shadow: PathBuf,
    temp: TempDir,
}

// === impl Disk ===

impl Disk {
    /// Simulates a disk for an existing folder, whose files count as synced.
    pub(crate) fn under(folder: &Path) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (source, library) =
            (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill/disk.c"), temp.path().join("disk.so"));
        let arguments = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
        let status =
            Command::new("cc").args(arguments).arg(&library).args([source, "-ldl", "-lpthread"]).status();
        assert!(status.expect("a C compiler is needed: apt-get install gcc libc6-dev").success());
        let shadow = temp.path().join("shadow");
        fs::create_dir(&shadow).unwrap();
        for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            fs::copy(file.path(), shadow.join(format!("{name}.data"))).unwrap();
            fs::write(shadow.join(format!("{name}.inode")), inode(&file.path())).unwrap();
            fs::write(shadow.join(format!("{name}.named")), "").unwrap();
        }
        Self { folder: folder.canonicalize().unwrap(), shadow, temp }
    }

    /// The environment variables that make a process use this disk.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD", text(&self.temp.path().join("disk.so"))),
            ("LOGKEY_DISK_FOLDER", text(&self.folder)),
            ("LOGKEY_DISK_SHADOW", text(&self.shadow)),
        ]
    }

    pub(crate) fn syncs(&self, syncs: Syncs) {
        let mode = match syncs {
            Syncs::Work => "",
            Syncs::FailOnce => "once",
            Syncs::Fail => "fail",
            Syncs::Hang => "hang",
            Syncs::Slow => "slow",
            Syncs::Lie => "ignore",
        };
        // Replace the file atomically, because it can be read at any moment.
        let new = self.shadow.join(".new");
        fs::write(&new, mode).unwrap();
        fs::rename(new, self.shadow.join(".control")).unwrap();
    }

    /// Restores the synced state of all files. No process may have them open.
    pub(crate) fn cut_power(&self, unsynced: Unsynced, rng: &mut StdRng) {
        self.cut(&self.folder, unsynced, rng);
        // What is left of files that do not exist any more.
        for shadow in fs::read_dir(&self.shadow).unwrap().map(|entry| entry.unwrap().path()) {
            let name = shadow.file_stem().unwrap().to_str().unwrap();
            if !name.starts_with('.') && !self.folder.join(name.replace('!', "/")).exists() {
                fs::remove_file(&shadow).unwrap();
            }
        }
    }

    fn cut(&self, folder: &Path, unsynced: Unsynced, rng: &mut StdRng) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&self.folder).unwrap().to_str().unwrap().replace('/', "!");
            let shadow = |kind: &str| self.shadow.join(format!("{name}.{kind}"));
            let survives =
                shadow("named").exists() || (matches!(unsynced, Unsynced::PartlyLost) && rng.random());
            let in_memory = name.ends_with("-shm") || path.extension().is_some_and(|end| end == "lock");
            if path.is_dir() && !survives {
                fs::remove_dir_all(path).unwrap();
                continue;
            }
            if !survives || in_memory {
                fs::remove_file(path).unwrap();
                continue;
            }
            // For the next process, the file is on the disk and fully synced.
            fs::write(shadow("named"), "").unwrap();
            if path.is_dir() {
                self.cut(&path, unsynced, rng);
                continue;
            }
            let synced = fs::read(shadow("data")).unwrap_or_default();
            let is_same = fs::read(shadow("inode")).map_or(true, |synced| synced == inode(&path));
            let shrunk = fs::read(shadow("shrunk")).ok();
            let shrunk = shrunk.map(|length| u64::from_ne_bytes(length.try_into().unwrap()));
            let bytes = match (unsynced, shrunk) {
                (Unsynced::PartlyLost, None) if is_same => {
                    mix_sectors(&synced, &fs::read(&path).unwrap(), rng)
                }
                (Unsynced::PartlyLost, Some(length)) if is_same && rng.random() => {
                    let shorter = &synced[..usize::try_from(length).unwrap()];
                    mix_sectors(shorter, &fs::read(&path).unwrap(), rng)
                }
                _ => synced,
            };
            fs::write(&path, &bytes).unwrap();
            fs::write(shadow("data"), bytes).unwrap();
            fs::write(shadow("inode"), inode(&path)).unwrap();
            for spent in ["shrunk", "lost"] {
                drop(fs::remove_file(shadow(spent)));
            }
        }
    }
}

/// The number of this file, as the library stores it.
fn inode(path: &Path) -> Vec<u8> {
    fs::metadata(path).unwrap().ino().to_ne_bytes().to_vec()
}

/// A mix of sectors from the synced and the written content.
fn mix_sectors(synced: &[u8], written: &[u8], rng: &mut StdRng) -> Vec<u8> {
    if synced == written {
        return synced.to_vec();
    }
    let (shorter, longer) = (synced.len().min(written.len()), synced.len().max(written.len()));
    let length = rng.random_range(shorter..=longer);
    let chance = rng.random_range(0.0..=1.0);
    let mut mixed = Vec::with_capacity(length);
    while mixed.len() < length {
        let sector = mixed.len()..(mixed.len() + SECTOR).min(length);
        let use_written = rng.random_bool(chance);
        mixed.extend(sector.map(|at| {
            let (old, new) = (synced.get(at), written.get(at));
            *if use_written { new.or(old) } else { old }.unwrap_or(&0)
        }));
    }
    mixed
}

#[test]
#[ignore = "tests/run kill"]
fn the_simulated_disk_keeps_only_synced_data() {
    use rand::SeedableRng as _;
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::under(folder.path());
    let sh = |script: &str| {
        let output = Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .envs(disk.environment())
            .output();
        output.unwrap().status.success()
    };
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
    let mut rng = StdRng::seed_from_u64(1);
    let cut = |rng: &mut StdRng| disk.cut_power(Unsynced::AllLost, rng);
    let some = |text: &str| Some(text.to_owned());

    assert!(sh("printf one >a; printf two >b; printf three >c; sync a . ; sync b"));
    cut(&mut rng);
    // The name of b existed when the folder was synced, and its content was synced later. The content of c
    // was never synced.
    assert_eq!((read("a"), read("b"), read("c")), (some("one"), some("two"), some("")));

    assert!(sh("printf four >>a; printf new >d; sync d"));
    cut(&mut rng);
    assert_eq!((read("a"), read("d")), (some("one"), None));

    // A file survives only if the path to it was synced too.
    assert!(sh("mkdir -p e/f g; printf deep >e/f/h; printf new >g/i; sync e/f/h e/f g/i; sync e; sync ."));
    cut(&mut rng);
    assert_eq!((read("e/f/h"), read("g/i")), (some("deep"), None));
    assert!(sh("mkdir -p e/j; printf lost >e/j/k; sync e/j/k e/j"));
    cut(&mut rng);
    assert!(folder.path().join("e/f").exists() && !folder.path().join("e/j").exists());

    // A kill within a rename, after which the name is that of another file, and a truncation: the content is
    // that of before or of after, never a part.
    let (long, longer) = ("x".repeat(50_000), "y".repeat(60_000));
    let mut outcomes = BTreeSet::new();
    for _ in 0..40 {
        fs::write(folder.path().join("l"), &long).unwrap();
        assert!(sh("sync l .; truncate -s 0 l"));
        disk.cut_power(Unsynced::PartlyLost, &mut rng);
        outcomes.insert(read("l").unwrap());
        fs::write(folder.path().join("m"), &longer).unwrap();
        assert!(sh(r#"sync m; perl -e 'rename "$ENV{PWD}/m", "$ENV{PWD}/l"'; sync ."#));
        fs::write(folder.path().join("n"), &long).unwrap();
        fs::rename(folder.path().join("n"), folder.path().join("l")).unwrap();
        disk.cut_power(Unsynced::PartlyLost, &mut rng);
        assert!(read("l").unwrap() == longer);
    }
    assert!(outcomes == BTreeSet::from([String::new(), long]));

    disk.syncs(Syncs::FailOnce);
    assert!(!sh("printf five >>a; sync a"));
    assert!(sh("sync a"), "the second sync reports success");
    cut(&mut rng);
    assert_eq!(read("a").unwrap().trim_end_matches('\0'), "one", "blocks of a failed sync stay lost");

    disk.syncs(Syncs::FailOnce);
    assert!(!sh("printf six >a; sync a"));
    assert!(sh("printf six >a; sync a"), "a rewritten block is synced");
    cut(&mut rng);
    assert_eq!(read("a"), some("six"));

    disk.syncs(Syncs::Lie);
    assert!(sh("printf seven >a; sync a"));
    cut(&mut rng);
    assert_eq!(read("a"), some("six"));
}
