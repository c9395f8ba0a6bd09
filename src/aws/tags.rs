//! What was read of keys' tags a moment ago, so that a row of changes with one key asks once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::sessions::SessionKey;
use crate::domain::{arn::KmsKeyArn, key::KeyTags};

/// How long tags count as they were read.
const FRESH: Duration = Duration::from_secs(10);
/// Most keys whose tags are kept.
const MOST: usize = 4096;

/// Tags by who read them and of which key: what one tenant may read is kept for no other.
#[derive(Default)]
pub(super) struct Tags(Mutex<HashMap<(SessionKey, KmsKeyArn), (Instant, KeyTags)>>);

// === impl Tags ===

impl Tags {
    /// The key's tags, where this session read them a moment ago.
    pub(super) fn find(&self, by: &SessionKey, key: &KmsKeyArn) -> Option<KeyTags> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, tags) = kept.get(&(by.clone(), key.clone()))?;
        (read.elapsed() < FRESH).then(|| tags.clone())
    }

    /// Keeps what was read.
    pub(super) fn keep(&self, by: SessionKey, key: KmsKeyArn, tags: KeyTags) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, (read, _)| read.elapsed() < FRESH);
        }
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert((by, key), (Instant::now(), tags));
    }
}
