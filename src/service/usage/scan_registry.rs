//! The scans of this process: at most one of a location at a time, and where an interrupted one resumes.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    domain::{association::Location, time::Timestamp},
    service::shared::keyed_mutex::KeyedMutex,
};

/// How long an interrupted one can be gone on with: AWS's page tokens are good for a day.
const RESUMABLE: Duration = Duration::from_hours(1);
/// Most interrupted ones that are remembered.
const MAX_INTERRUPTED: usize = 1_024;

/// The surveys of this process.
#[derive(Default)]
pub(in crate::service) struct ScanRegistry {
    /// Serializes scans of one location.
    pub(super) locks: KeyedMutex<Location>,
    interrupted: Mutex<HashMap<Location, ScanCheckpoint>>,
}

/// Where a survey stopped.
#[derive(Clone)]
pub(super) struct ScanCheckpoint {
    pub(super) token: Box<str>,
    pub(super) started: Timestamp,
    pub(super) read: u64,
}

// === impl ScanRegistry ===

impl ScanRegistry {
    pub(super) fn take_checkpoint(&self, location: &Location, now: Timestamp) -> Option<ScanCheckpoint> {
        self.lock().remove(location).filter(|it| now < it.started.plus(RESUMABLE))
    }

    pub(super) fn save_checkpoint(&self, location: &Location, stopped: ScanCheckpoint) {
        let mut all = self.lock();
        if all.len() >= MAX_INTERRUPTED {
            let newest = all.values().map(|it| it.started).max().unwrap_or(stopped.started);
            all.retain(|_, it| newest < it.started.plus(RESUMABLE));
        }
        if all.len() < MAX_INTERRUPTED {
            all.insert(location.clone(), stopped);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Location, ScanCheckpoint>> {
        // Nothing that runs under the lock leaves it half done.
        self.interrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ScanRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanRegistry").finish_non_exhaustive()
    }
}
