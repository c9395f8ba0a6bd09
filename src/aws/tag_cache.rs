//! Caches the tags of keys for a short time, so that several changes with one key read its tags once.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::sessions::key::SessionKey;
use crate::domain::{arn::KmsKeyArn, key::KeyTags};

/// How long cached tags are valid.
const TTL: Duration = Duration::from_secs(10);
/// The maximum number of keys with cached tags.
const CAPACITY: usize = 4096;

/// Tags by session and key, so that no tenant gets tags that another tenant read.
#[derive(Default)]
pub(super) struct TagCache(Mutex<HashMap<(SessionKey, KmsKeyArn), (Instant, KeyTags)>>);

// === impl TagCache ===

impl TagCache {
    /// The key's tags, if this session read them within the TTL.
    pub(super) fn find(&self, session_key: &SessionKey, key: &KmsKeyArn) -> Option<KeyTags> {
        let tags = self.0.lock();
        let (read, tags) = tags.get(&(session_key.clone(), key.clone()))?;
        (read.elapsed() < TTL).then(|| tags.clone())
    }

    /// Caches the tags that this session read.
    pub(super) fn insert(&self, session_key: SessionKey, key: KmsKeyArn, tags: KeyTags) {
        let mut cache = self.0.lock();
        if cache.len() >= CAPACITY {
            cache.retain(|_, (read, _)| read.elapsed() < TTL);
        }
        if cache.len() >= CAPACITY {
            cache.clear();
        }
        cache.insert((session_key, key), (Instant::now(), tags));
    }
}
