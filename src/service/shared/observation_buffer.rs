//! Buffers key observations and stores them in the background, so that no read waits for the store.

use std::{collections::HashMap, fmt, mem, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource, Target},
        history::{Observation, Retention},
        time::Timestamp,
    },
    ports::{KeyHistoryWriter, LogGroup, Unavailable},
};

/// How long observations collect before they are stored.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// The wait before the next attempt after a failure to store.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// How often an unchanged observation is stored again, to show that the record is current.
const REFRESH: Duration = Duration::from_mins(10);
/// The maximum number of buffered observations. Further ones are dropped and counted, because a later read
/// makes the same observation.
const MAX_BUFFERED: usize = 16_384;
/// The maximum number of resources whose last observation is kept, so that it is not stored again.
const MAX_RECENT: usize = 16_384;

/// Observations that are not stored yet.
#[derive(Default)]
pub(in crate::service) struct ObservationBuffer {
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Observation>,
    recent: HashMap<Resource, LastObserved>,
}

/// The last observation of a resource.
#[derive(PartialEq, Eq)]
struct LastObserved {
    key: Option<KmsKeyArn>,
    created: Option<Timestamp>,
    retention: Retention,
    observed_at: Timestamp,
}

/// The observation of a log group as AWS returned it. `at` is the time just before the call.
pub(in crate::service) fn observation(location: &Location, group: &LogGroup, at: Timestamp) -> Observation {
    Observation {
        resource: Resource { location: location.clone(), target: Target::LogGroup(group.name.clone()) },
        key: group.key.clone(),
        // AWS made the log group before this read, so this clock is behind AWS's.
        observed_at: group.created.map_or(at, |created| at.max(created)),
        created: group.created,
        retention: Retention::displayed(group.retention),
    }
}

// === impl ObservationBuffer ===

impl ObservationBuffer {
    /// Stores observations for as long as the service runs. Never returns.
    pub(in crate::service) async fn run_flusher(&self, store: &dyn KeyHistoryWriter) {
        loop {
            self.filled.notified().await;
            tokio::time::sleep(FLUSH_INTERVAL).await;
            while let Err(error) = self.flush(store).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "key observations cannot be stored; retrying"
                );
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }

    /// Stores the observations that are buffered now. If the store does not accept them, they stay buffered.
    pub(in crate::service) async fn flush(&self, store: &dyn KeyHistoryWriter) -> Result<(), Unavailable> {
        let waiting = mem::take(&mut self.inner.lock().waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let stored = store.upsert(&waiting).await;
        if stored.is_err() {
            let mut inner = self.inner.lock();
            let newer = mem::replace(&mut inner.waiting, waiting);
            inner.enqueue(newer);
        }
        stored
    }

    /// Buffers the observations that are new or due for a refresh.
    pub(in crate::service) fn add(&self, observations: impl IntoIterator<Item = Observation>) {
        let mut inner = self.inner.lock();
        let fresh: Vec<Observation> = observations.into_iter().filter(|it| inner.is_new(it)).collect();
        if !fresh.is_empty() {
            inner.enqueue(fresh);
            self.filled.notify_one();
        }
    }

    /// Forgets the last observation of a resource, because a change of the resource is about to be sent.
    pub(in crate::service) fn invalidate(&self, resource: &Resource) {
        self.inner.lock().recent.remove(resource);
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

impl fmt::Debug for ObservationBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservationBuffer").finish_non_exhaustive()
    }
}
