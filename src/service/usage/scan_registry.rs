//! The scans of this process: at most one of a location at a time, and where an interrupted one resumes.

use std::{collections::HashMap, fmt, time::Duration};

use parking_lot::Mutex;

use crate::{
    domain::{association::Location, time::Timestamp},
    service::shared::keyed_mutex::KeyedMutex,
};

/// How long an interrupted scan can be resumed. AWS's page tokens are valid for 24 hours.
const RESUMABLE: Duration = Duration::from_hours(1);
/// The maximum number of interrupted scans that are kept.
const MAX_INTERRUPTED: usize = 1_024;

/// The scans of this process.
#[derive(Default)]
pub(in crate::service) struct ScanRegistry {
    /// Serializes scans of one location.
    pub(super) locks: KeyedMutex<Location>,
    interrupted: Mutex<HashMap<Location, ScanCheckpoint>>,
}

/// Where a scan was interrupted.
#[derive(Clone)]
pub(super) struct ScanCheckpoint {
    pub(super) token: Box<str>,
    pub(super) started: Timestamp,
    pub(super) read: u64,
}

// === impl ScanRegistry ===

impl ScanRegistry {
    pub(super) fn take_checkpoint(&self, location: &Location, now: Timestamp) -> Option<ScanCheckpoint> {
        self.interrupted.lock().remove(location).filter(|it| now < it.started.plus(RESUMABLE))
    }

    pub(super) fn is_interrupted(&self, location: &Location) -> bool {
        self.interrupted.lock().contains_key(location)
    }

    pub(super) fn save_checkpoint(&self, location: &Location, checkpoint: ScanCheckpoint) {
        let mut all = self.interrupted.lock();
        if all.len() >= MAX_INTERRUPTED {
            let newest = all.values().map(|it| it.started).max().unwrap_or(checkpoint.started);
            all.retain(|_, it| newest < it.started.plus(RESUMABLE));
        }
        if all.len() < MAX_INTERRUPTED {
            all.insert(location.clone(), checkpoint);
        }
    }
}

impl fmt::Debug for ScanRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanRegistry").finish_non_exhaustive()
    }
}
