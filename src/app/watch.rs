//! Sees that settings changed: by SIGHUP, or because a file they were read from did. Run by
//! `logkey serve` beside the service.

mod fingerprint;

use std::{
    collections::BTreeSet,
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{signal::unix::Signal, sync::mpsc};

pub use self::fingerprint::Fingerprints;
use super::{Reloader, background::run_in_background};
use crate::config::{Env, Settings};

/// How long files must have been left alone: an editor or Kubernetes writes several at once.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// The link that Kubernetes turns when it changes mounted files.
const KUBERNETES_LINK: &str = "..data";
/// Endings of the files that settings may be spread over.
const SETTINGS_EXTENSIONS: [&str; 2] = ["toml", "cedar"];

/// What was seen, and whether more follows.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    files: Arc<Mutex<BTreeSet<PathBuf>>>,
    changes: mpsc::Receiver<()>,
}

/// Takes settings over whenever they changed, until it is dropped. `read` is what their files were like just
/// after they were read.
pub async fn reload_on_change(
    reloader: Reloader,
    config: PathBuf,
    env: Arc<dyn Env + Send + Sync>,
    read: Fingerprints,
    mut hangup: Signal,
) {
    let mut watch = Watch::new();
    watch.watch_folders(read.files());
    // A start takes its time, and nobody watched meanwhile.
    let mut overtaken = run_in_background(move || read.changed()).await.unwrap_or(true);
    loop {
        if mem::take(&mut overtaken) {
            tracing::info!("files of the settings changed while the service started");
        } else {
            tokio::select! {
                received = hangup.recv() => if received.is_none() { return },
                () = watch.changed() => tracing::info!("files of the settings changed"),
            }
        }
        let (path, variables) = (config.clone(), Arc::clone(&env));
        let Some(settings) = run_in_background(move || Settings::load(&path, &*variables)).await else {
            tracing::error!("the settings could not be read; what was in force stays so");
            continue;
        };
        if let Ok(Settings { files, .. }) = &settings {
            watch.watch_folders(files);
        }
        reloader.reload(settings).await;
    }
}

// === impl Watch ===

impl Watch {
    fn new() -> Self {
        let (change_sender, changes) = mpsc::channel(1);
        let files = Arc::new(Mutex::new(BTreeSet::new()));
        let tracked = Arc::clone(&files);
        let on_event = move |event: notify::Result<Event>| {
            let tracked = tracked.lock().unwrap_or_else(PoisonError::into_inner);
            if event.is_ok_and(|event| is_relevant(&event, &tracked)) {
                // One that is not yet looked at stands for this one too.
                let _ = change_sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(on_event)
            .inspect_err(|error| tracing::warn!(%error, "files are not watched: send SIGHUP after a change"));
        Self { watcher: watcher.ok(), folders: BTreeSet::new(), files, changes }
    }

    /// Watches the folders of these files: a file that is replaced is another one, its folder is not.
    /// Folders among them are folders themselves.
    fn watch_folders(&mut self, files: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut names = BTreeSet::new();
        for file in files {
            let folder = if file.is_dir() { Some(file.as_path()) } else { file.parent() };
            let Some(folder) = folder else { continue };
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // As the watcher will name it.
            names.extend(file.file_name().map(|name| folder.join(name)));
            if self.folders.contains(folder) {
                continue;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder.to_owned())),
                Err(error) => tracing::warn!(
                    folder = %folder.display(), %error,
                    "a folder of the settings is not watched: send SIGHUP after a change"
                ),
            }
        }
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Returns once files changed and were then left alone.
    async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, self.changes.recv()).await {}
    }
}

/// Whether the event is about a file that settings were read from, or may stand in; the store is often
/// in the same folder.
fn is_relevant(event: &Event, watched: &BTreeSet<PathBuf>) -> bool {
    let written = match event.kind {
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    };
    let settings = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        watched.contains(path)
            || ending.is_some_and(|ending| SETTINGS_EXTENSIONS.contains(&ending))
            || path.file_name().is_some_and(|name| name == KUBERNETES_LINK)
    };
    written && event.paths.iter().any(settings)
}
