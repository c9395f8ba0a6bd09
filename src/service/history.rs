//! What is seen of keys on the way: kept beside the calls, so that no read waits for the store.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::KeyBroker;
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Place, Resource, Target},
        history::{Known, Retention, Sighting},
        time::Timestamp,
    },
    ports::{LogGroup, Unavailable},
};

/// How long sightings gather before they are kept.
const GATHER: Duration = Duration::from_millis(200);
/// How long after a failure they are tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often one that brings nothing new is kept all the same, so that it is known to hold still.
const REFRESH: Duration = Duration::from_mins(10);
/// Most that wait to be kept; beyond, they are counted as lost: a later reading sees the same.
const MAX_WAITING: usize = 16_384;
/// Most resources whose last sighting is remembered, so as not to keep it again.
const MAX_RECENT: usize = 16_384;

/// What was seen and is not kept yet.
#[derive(Default)]
pub(super) struct Seen {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Sighting>,
    recent: HashMap<Resource, Last>,
}

/// What was last seen of a resource.
#[derive(PartialEq, Eq)]
struct Last {
    key: Option<KmsKeyArn>,
    created: Option<Timestamp>,
    retention: Retention,
    seen: Timestamp,
}

/// A log group as AWS showed it, as something seen; `at` is the moment before AWS was asked.
pub(super) fn sighting(place: &Place, group: &LogGroup, at: Timestamp) -> Sighting {
    Sighting {
        resource: Resource { place: place.clone(), target: Target::LogGroup(group.name.clone()) },
        key: group.key.clone(),
        seen: at,
        created: group.created,
        retention: Retention::shown(group.retention),
    }
}

impl KeyBroker {
    /// Remembers what was seen, to be kept soon.
    pub(super) fn saw(&self, sightings: impl IntoIterator<Item = Sighting>) {
        self.seen.add(sightings);
    }

    /// Keeps what is seen, for as long as the service runs.
    pub async fn keep_history(&self) {
        loop {
            self.seen.filled.notified().await;
            tokio::time::sleep(GATHER).await;
            while let Err(error) = self.flush_history().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what was seen of keys cannot be kept; trying again"
                );
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Keeps what was seen so far.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where the store does not take it: then it still waits.
    pub async fn flush_history(&self) -> Result<(), Unavailable> {
        let waiting = mem::take(&mut self.seen.lock().waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let kept = self.ports.seen.keep(&waiting).await;
        if kept.is_err() {
            let mut inner = self.seen.lock();
            let since = mem::replace(&mut inner.waiting, waiting);
            inner.wait(since);
        }
        kept
    }

    /// What is known of a resource: a help, so that a store that does not answer costs an answer
    /// nothing.
    pub(super) async fn known(&self, resources: &[Resource]) -> Vec<Known> {
        let known = self.ports.history.known(resources).await;
        known.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "answering without our own record");
            Vec::new()
        })
    }
}

// === impl Seen ===

impl Seen {
    fn add(&self, sightings: impl IntoIterator<Item = Sighting>) {
        let mut inner = self.lock();
        let news: Vec<Sighting> = sightings.into_iter().filter(|it| inner.is_new(it)).collect();
        if !news.is_empty() {
            inner.wait(news);
            self.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock leaves it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn is_new(&mut self, it: &Sighting) -> bool {
        let Sighting { resource, key, seen, created, retention } = it;
        if let Some(last) = self.recent.get_mut(resource) {
            let same = last.key == *key && last.created == *created && last.retention == *retention;
            if same && *seen < last.seen.plus(REFRESH) {
                return false;
            }
            *last = Last { key: key.clone(), created: *created, retention: *retention, seen: *seen };
            return true;
        }
        if self.recent.len() >= MAX_RECENT {
            self.recent.retain(|_, last| *seen < last.seen.plus(REFRESH));
        }
        if self.recent.len() < MAX_RECENT {
            let last = Last { key: key.clone(), created: *created, retention: *retention, seen: *seen };
            self.recent.insert(resource.clone(), last);
        }
        true
    }

    /// A change that was made is news even where it leads back to what was seen last.
    fn forget(&mut self, resource: &Resource) {
        self.recent.remove(resource);
    }

    fn wait(&mut self, mut news: Vec<Sighting>) {
        let room = MAX_WAITING.saturating_sub(self.waiting.len());
        let lost = news.len().saturating_sub(room);
        if lost > 0 {
            news.truncate(room);
            metrics::counter!("logkey_sightings_lost_total").increment(lost as u64);
        }
        self.waiting.append(&mut news);
    }
}

impl KeyBroker {
    /// A change of the resource is about to be made: what was seen of it before says nothing any more.
    pub(super) fn forget_seen(&self, resource: &Resource) {
        self.seen.lock().forget(resource);
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}
