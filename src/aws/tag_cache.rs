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
const TTL: Duration = Duration::from_secs(10);
/// Most keys whose tags are kept.
const CAPACITY: usize = 4096;

/// Tags by who read them and of which key: what one tenant may read is kept for no other.
#[derive(Default)]
pub(super) struct TagCache(Mutex<HashMap<(SessionKey, KmsKeyArn), (Instant, KeyTags)>>);

// === impl Tags ===

impl TagCache {
    /// The key's tags, where this session read them a moment ago.
    pub(super) fn find(&self, by: &SessionKey, key: &KmsKeyArn) -> Option<KeyTags> {
        let tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, tags) = tags.get(&(by.clone(), key.clone()))?;
        (read.elapsed() < TTL).then(|| tags.clone())
    }

    /// Keeps what was read.
    pub(super) fn insert(&self, by: SessionKey, key: KmsKeyArn, tags: KeyTags) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CAPACITY {
            cache.retain(|_, (read, _)| read.elapsed() < TTL);
        }
        if cache.len() >= CAPACITY {
            cache.clear();
        }
        cache.insert((by, key), (Instant::now(), tags));
    }
}
