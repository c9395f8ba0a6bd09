//! Caches the tags of keys for a short time, so that several changes with one key read its tags once.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::sessions::key::SessionKey;
use crate::domain::{arn::KmsKeyArn, key::KeyTags, tenant::TenantId};

/// How long cached tags are valid.
const TTL: Duration = Duration::from_secs(10);
/// The memory of all cached tags, in bytes.
const MAX_BYTES: usize = 8 << 20;
/// The memory of those of one tenant, so that no tenant displaces the tags of the others.
const MAX_BYTES_OF_TENANT: usize = MAX_BYTES / 4;
/// The memory of an entry beside its texts, and of a tag beside its own.
const ENTRY_BYTES: usize = 512;
const TAG_BYTES: usize = 64;

/// Tags by session and key, so that no tenant gets tags that another tenant read.
#[derive(Default)]
pub(super) struct TagCache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    tags: HashMap<(SessionKey, KmsKeyArn), CachedTags>,
    bytes: usize,
    by_tenant: HashMap<TenantId, usize>,
}

struct CachedTags {
    read: Instant,
    tags: KeyTags,
    bytes: usize,
}

// === impl TagCache ===

impl TagCache {
    /// The key's tags, if this session read them within the TTL.
    pub(super) fn find(&self, session_key: &SessionKey, key: &KmsKeyArn) -> Option<KeyTags> {
        let entries = self.0.lock();
        let cached = entries.tags.get(&(session_key.clone(), key.clone()))?;
        cached.is_fresh().then(|| cached.tags.clone())
    }

    /// Caches the tags that this session read.
    pub(super) fn insert(&self, session_key: SessionKey, key: KmsKeyArn, tags: KeyTags) {
        self.0.lock().insert(session_key, key, tags);
    }
}

// === impl Entries ===

impl Entries {
    fn insert(&mut self, session_key: SessionKey, key: KmsKeyArn, tags: KeyTags) {
        let texts: usize = tags.iter().map(|(name, value)| name.len() + value.len() + TAG_BYTES).sum();
        let bytes = ENTRY_BYTES + key.as_str().len() + texts;
        let tenant = session_key.tenant().clone();
        let key = (session_key, key);
        if let Some(before) = self.tags.remove(&key) {
            self.count_less(&tenant, before.bytes);
        }
        // What is old makes room first, then what the tenant itself cached.
        if !self.has_room(&tenant, bytes) {
            self.remove_if(|_, cached| !cached.is_fresh());
        }
        if !self.has_room(&tenant, bytes) {
            self.remove_if(|(session, _), _| *session.tenant() == tenant);
        }
        if !self.has_room(&tenant, bytes) {
            self.remove_if(|_, _| true);
        }
        if self.has_room(&tenant, bytes) {
            self.tags.insert(key, CachedTags { read: Instant::now(), tags, bytes });
            self.bytes += bytes;
            *self.by_tenant.entry(tenant).or_default() += bytes;
        }
    }

    fn has_room(&self, tenant: &TenantId, bytes: usize) -> bool {
        let own = self.by_tenant.get(tenant).copied().unwrap_or_default();
        own + bytes <= MAX_BYTES_OF_TENANT && self.bytes + bytes <= MAX_BYTES
    }

    fn remove_if(&mut self, is_removed: impl Fn(&(SessionKey, KmsKeyArn), &CachedTags) -> bool) {
        let removed = self.tags.extract_if(|key, cached| is_removed(key, cached));
        let removed: Vec<_> = removed.map(|((session, _), cached)| (session, cached.bytes)).collect();
        for (session, bytes) in removed {
            self.count_less(session.tenant(), bytes);
        }
    }

    fn count_less(&mut self, tenant: &TenantId, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(own) = self.by_tenant.get_mut(tenant) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                self.by_tenant.remove(tenant);
            }
        }
    }
}

// === impl CachedTags ===

impl CachedTags {
    fn is_fresh(&self) -> bool {
        self.read.elapsed() < TTL
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        aws::{config::SessionTagging, session_policy::SessionScope},
        domain::{
            association::{ListKeyAssociations, Location},
            authorization::{Authorized, AuthzRequest, Requester},
            call::Action,
        },
        ports::Authorize as _,
        testing::{ACCOUNT, FakePolicy, REGION, call, principal, tenant},
    };

    /// The key of a session of this tenant.
    fn session(id: &str) -> SessionKey {
        let location = Location { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() };
        let (call, principal) = (call(Action::Unknown, Duration::ZERO), principal(id, &[]));
        let requester = Requester { call: &call, principal: &principal };
        let allow = |request: &AuthzRequest<'_>| FakePolicy::default().decide(request);
        let command = ListKeyAssociations { location };
        let authorized = Authorized::decide(allow, requester, &Arc::new(tenant(id)), command).unwrap();
        SessionKey::of(authorized.access(), SessionScope::LogGroups, SessionTagging::Tenant)
    }

    fn key(number: u32) -> KmsKeyArn {
        format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{number}").parse().unwrap()
    }

    /// The largest tags that KMS returns.
    fn large() -> KeyTags {
        (0..50).map(|number| (format!("{number:0128}").into(), "v".repeat(256).into())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn tags_have_a_bound_in_bytes_and_one_tenant_displaces_only_its_own() {
        let cache = TagCache::default();
        let (greedy, quiet) = (session("greedy"), session("quiet"));
        cache.insert(quiet.clone(), key(0), large());
        for number in 0..2_000 {
            cache.insert(greedy.clone(), key(number), large());
            let entries = cache.0.lock();
            assert!(entries.by_tenant[&"greedy".parse().unwrap()] <= MAX_BYTES_OF_TENANT);
            assert_eq!(entries.bytes, entries.tags.values().map(|cached| cached.bytes).sum::<usize>());
        }
        assert!(cache.find(&quiet, &key(0)).is_some());
        assert!(cache.find(&greedy, &key(1_999)).is_some());
        for number in 0..100 {
            cache.insert(session(&format!("tenant-{number}")), key(0), large());
            for other in 0..50 {
                cache.insert(session(&format!("tenant-{number}")), key(other), large());
            }
            assert!(cache.0.lock().bytes <= MAX_BYTES);
        }
        tokio::time::advance(TTL).await;
        assert_eq!(cache.find(&session("tenant-99"), &key(49)), None);
    }
}
