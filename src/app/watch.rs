//! Reloads the settings on SIGHUP, and when a file that they came from changes. `logkey serve` runs it in a
//! separate task.

mod fingerprint;

use std::{
    collections::BTreeSet,
    mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use tokio::{signal::unix::Signal, sync::mpsc};

pub use self::fingerprint::Fingerprints;
use self::fingerprint::may_hold_settings;
use super::{background::run_in_background, reload::Reloader};
use crate::config::{Env, Settings};

/// How long the files must stay unchanged before a reload. Editors and Kubernetes write several at once.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// The symbolic link that Kubernetes replaces when it changes mounted files.
const KUBERNETES_LINK: &str = "..data";
/// How often the files are compared with what was read. File system events do not tell of every way in which a
/// file can come to be, for example of a replaced folder or link.
const COMPARE_INTERVAL: Duration = Duration::from_secs(2);
/// In how many of these comparisons one reads the contents.
const CONTENT_EVERY: u32 = 5;

/// The gauge of folders that could not be watched.
const UNWATCHED: &str = "logkey_settings_unwatched_folders";

/// Watches the folders of the settings files.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    files: Arc<Mutex<BTreeSet<PathBuf>>>,
    changes: mpsc::Receiver<()>,
}

/// Reloads the settings whenever they change, until it is dropped. `initial` are the fingerprints of their
/// files just after the start read them.
pub async fn reload_on_change(
    reloader: Reloader,
    config: PathBuf,
    env: Arc<dyn Env + Send + Sync>,
    initial: Fingerprints,
    mut hangup: Signal,
) {
    let mut watch = Watch::new();
    watch.watch_folders(initial.files());
    let mut baseline = initial.clone();
    // The start takes time, and the files were not watched meanwhile.
    let mut changed_during_start = run_in_background(move || initial.changed()).await.unwrap_or(true);
    loop {
        if mem::take(&mut changed_during_start) {
            tracing::info!("settings files changed while the service started");
        } else {
            tokio::select! {
                signal = hangup.recv() => if signal.is_none() { return },
                () = watch.changed() => tracing::info!("settings files changed"),
                () = differ_from(&mut baseline) => {
                    watch.wait_until_stable().await;
                    tracing::info!("settings files differ from what was read");
                }
            }
        }
        let (path, variables, files) = (config.clone(), Arc::clone(&env), baseline.files().to_vec());
        // The fingerprints come first, so that a change during the read is found.
        let loaded = run_in_background(move || {
            let before = Fingerprints::of(files);
            (Settings::load(&path, &*variables), before)
        });
        let Some((settings, before)) = loaded.await else {
            tracing::error!("the settings could not be read; the service keeps the current snapshot");
            continue;
        };
        if let Ok(Settings { files, .. }) = &settings {
            watch.watch_folders(files);
            baseline = before.with_files(files.clone());
        } else {
            baseline = before;
        }
        reloader.reload(settings).await;
    }
}

/// Returns when the files differ from these fingerprints.
async fn differ_from(baseline: &mut Fingerprints) {
    let mut comparisons: u32 = 0;
    loop {
        tokio::time::sleep(COMPARE_INTERVAL).await;
        comparisons = comparisons.wrapping_add(1);
        let reads_content = comparisons.is_multiple_of(CONTENT_EVERY);
        let mut compared = baseline.clone();
        let compared = run_in_background(move || {
            let differs = compared.changed() || (reads_content && compared.content_changed());
            (differs, compared)
        });
        let Some((differs, compared)) = compared.await else { continue };
        *baseline = compared;
        if differs {
            return;
        }
    }
}

// === impl Watch ===

impl Watch {
    fn new() -> Self {
        let (change_sender, changes) = mpsc::channel(1);
        let files = Arc::new(Mutex::new(BTreeSet::new()));
        let tracked = Arc::clone(&files);
        let on_event = move |event: notify::Result<Event>| {
            let tracked = tracked.lock();
            if event.is_ok_and(|event| is_relevant(&event, &tracked)) {
                // If the channel is full, the pending message covers this change too.
                let _ = change_sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(on_event).inspect_err(
            |error| tracing::warn!(%error, "settings files are not watched; changes are found within a few seconds all the same"),
        );
        Self { watcher: watcher.ok(), folders: BTreeSet::new(), files, changes }
    }

    /// Watches the folders of these files, because a watch on a file ends when the file is replaced. A path
    /// that is a folder is watched itself.
    fn watch_folders(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else {
            metrics::gauge!(UNWATCHED).set(1.0);
            return;
        };
        // A folder that was replaced has to be watched again under the same name.
        for folder in mem::take(&mut self.folders) {
            let _ = watcher.unwatch(&folder);
        }
        let mut unwatched = 0.0;
        let mut names = BTreeSet::new();
        for file in files {
            let folder = if file.is_dir() { Some(file.as_path()) } else { file.parent() };
            let Some(folder) = folder else { continue };
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // The path in the form in which the watcher reports it.
            names.extend(file.file_name().map(|name| folder.join(name)));
            if self.folders.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder.to_owned())),
                Err(error) => {
                    unwatched += 1.0;
                    tracing::warn!(
                        folder = %folder.display(), %error,
                        "a folder of settings files is not watched; changes are found within a few seconds all the same"
                    );
                }
            }
        }
        metrics::gauge!(UNWATCHED).set(unwatched);
        *self.files.lock() = names;
    }

    /// Returns after files changed and then stayed unchanged for [`DEBOUNCE`].
    async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.wait_until_stable().await;
    }

    /// Returns when files have stayed unchanged for [`DEBOUNCE`].
    async fn wait_until_stable(&mut self) {
        while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, self.changes.recv()).await {}
    }
}

/// Whether the event is about a file that settings came from, or that may contain settings. The store is
/// often in the same folder, and its writes must not cause reloads.
fn is_relevant(event: &Event, watched: &BTreeSet<PathBuf>) -> bool {
    let is_change = match event.kind {
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    };
    let concerns_settings = |path: &PathBuf| {
        watched.contains(path)
            || may_hold_settings(path)
            || path.file_name().is_some_and(|name| name == KUBERNETES_LINK)
    };
    is_change && event.paths.iter().any(concerns_settings)
}
