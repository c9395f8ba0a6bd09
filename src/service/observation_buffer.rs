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
        association::{Location, Resource, Target},
        history::{KeyRecord, Observation, Retention},
        time::Timestamp,
    },
    ports::{LogGroup, Unavailable},
};

/// How long sightings gather before they are kept.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// How long after a failure they are tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// How often one that brings nothing new is kept all the same, so that it is known to hold still.
const REFRESH: Duration = Duration::from_mins(10);
/// Most that wait to be kept; beyond, they are counted as lost: a later reading sees the same.
const MAX_BUFFERED: usize = 16_384;
/// Most resources whose last sighting is remembered, so as not to keep it again.
const MAX_RECENT: usize = 16_384;

/// What was seen and is not kept yet.
#[derive(Default)]
pub(super) struct ObservationBuffer {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Observation>,
    recent: HashMap<Resource, LastObserved>,
}

/// What was last seen of a resource.
#[derive(PartialEq, Eq)]
struct LastObserved {
    key: Option<KmsKeyArn>,
    created: Option<Timestamp>,
    retention: Retention,
    observed_at: Timestamp,
}

/// A log group as AWS showed it, as something seen; `at` is the moment before AWS was asked.
pub(super) fn observation(location: &Location, group: &LogGroup, at: Timestamp) -> Observation {
    Observation {
        resource: Resource { location: location.clone(), target: Target::LogGroup(group.name.clone()) },
        key: group.key.clone(),
        observed_at: at,
        created: group.created,
        retention: Retention::displayed(group.retention),
    }
}

impl KeyBroker {
    /// Remembers what was seen, to be kept soon.
    pub(super) fn observe(&self, observations: impl IntoIterator<Item = Observation>) {
        self.observations.add(observations);
    }

    /// Keeps what is seen, for as long as the service runs.
    pub async fn run_observation_flusher(&self) {
        loop {
            self.observations.filled.notified().await;
            tokio::time::sleep(FLUSH_INTERVAL).await;
            while let Err(error) = self.flush_observations().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what was seen of keys cannot be kept; trying again"
                );
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }

    /// Keeps what was seen so far.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] where the store does not take it: then it still waits.
    pub async fn flush_observations(&self) -> Result<(), Unavailable> {
        let waiting = mem::take(&mut self.observations.lock().waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let stored = self.ports.observations.upsert(&waiting).await;
        if stored.is_err() {
            let mut inner = self.observations.lock();
            let since = mem::replace(&mut inner.waiting, waiting);
            inner.enqueue(since);
        }
        stored
    }

    /// What is known of a resource: a help, so that a store that does not answer costs an answer
    /// nothing.
    pub(super) async fn load_records(&self, resources: &[Resource]) -> Vec<KeyRecord> {
        let record = self.ports.history.records(resources).await;
        record.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "answering without our own record");
            Vec::new()
        })
    }
}

// === impl Seen ===

impl ObservationBuffer {
    fn add(&self, observations: impl IntoIterator<Item = Observation>) {
        let mut inner = self.lock();
        let fresh: Vec<Observation> = observations.into_iter().filter(|it| inner.is_new(it)).collect();
        if !fresh.is_empty() {
            inner.enqueue(fresh);
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
    fn is_new(&mut self, it: &Observation) -> bool {
        let Observation { resource, key, observed_at, created, retention } = it;
        if let Some(last) = self.recent.get_mut(resource) {
            let same = last.key == *key && last.created == *created && last.retention == *retention;
            if same && *observed_at < last.observed_at.plus(REFRESH) {
                return false;
            }
            *last = LastObserved {
                key: key.clone(),
                created: *created,
                retention: *retention,
                observed_at: *observed_at,
            };
            return true;
        }
        if self.recent.len() >= MAX_RECENT {
            self.recent.retain(|_, last| *observed_at < last.observed_at.plus(REFRESH));
        }
        if self.recent.len() < MAX_RECENT {
            let last = LastObserved {
                key: key.clone(),
                created: *created,
                retention: *retention,
                observed_at: *observed_at,
            };
            self.recent.insert(resource.clone(), last);
        }
        true
    }

    /// A change that was made is news even where it leads back to what was seen last.
    fn forget(&mut self, resource: &Resource) {
        self.recent.remove(resource);
    }

    fn enqueue(&mut self, mut fresh: Vec<Observation>) {
        let room = MAX_BUFFERED.saturating_sub(self.waiting.len());
        let lost = fresh.len().saturating_sub(room);
        if lost > 0 {
            fresh.truncate(room);
            metrics::counter!("logkey_key_observations_dropped_total").increment(lost as u64);
        }
        self.waiting.append(&mut fresh);
    }
}

impl KeyBroker {
    /// A change of the resource is about to be made: what was seen of it before says nothing any more.
    pub(super) fn invalidate_observation(&self, resource: &Resource) {
        self.observations.lock().forget(resource);
    }
}

impl fmt::Debug for ObservationBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}
