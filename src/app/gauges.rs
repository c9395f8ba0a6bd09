//! Keeps the gauges of the store, the signed log, the issuers' keys and the certificate up to date.

use std::{error::Error, sync::Arc, time::Duration};

use metrics::gauge;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::snapshot::SnapshotHolder;
use crate::{
    domain::time::Timestamp,
    limit::redis::RedisBackend,
    ports::{
        AuditTree, Clock, EventFilter, EventReader, Leadership, PendingChanges, Unavailable,
        store::{StoreSize, StoreSpace},
    },
    server::Tls,
};

/// How often the gauges are updated.
const UPDATE_INTERVAL: Duration = Duration::from_secs(5);
/// The longest wait for the store. Its gauges keep their values while it does not respond.
const STORE_TIMEOUT: Duration = Duration::from_secs(4);

/// The sources of the gauges.
pub(super) struct Gauges<C, T> {
    pub(super) log: Arc<dyn EventReader>,
    pub(super) changes: C,
    pub(super) tree: T,
    pub(super) space: Arc<dyn StoreSpace>,
    pub(super) leadership: Arc<dyn Leadership>,
    pub(super) current: Arc<SnapshotHolder>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) backend: Option<Arc<RedisBackend>>,
    pub(super) clock: Arc<dyn Clock>,
}

// === impl Gauges ===

impl<C: PendingChanges, T: AuditTree> Gauges<C, T> {
    /// Runs as long as the service.
    pub(super) async fn run(self) {
        let mut ticks = interval(UPDATE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.update_local();
            match timeout(STORE_TIMEOUT, self.update_from_store()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = &error as &dyn Error;
                    tracing::debug!(error, "the metrics of the store keep their values");
                }
                Err(_elapsed) => tracing::debug!("the metrics of the store keep their values"),
            }
        }
    }

    /// What this process knows without the store.
    fn update_local(&self) {
        gauge!("logkey_leader").set(flag(self.leadership.is_leader()));
        gauge!("logkey_limit_shared").set(flag(self.backend.as_ref().is_some_and(|it| it.is_up())));
        for (issuer, age) in self.current.load().authn.key_ages() {
            gauge!("logkey_jwks_age_seconds", "issuer" => issuer.to_string()).set(age.as_secs_f64());
        }
        if let Some(expires) = self.tls.as_ref().and_then(|tls| tls.expires()) {
            gauge!("logkey_certificate_expiry_seconds").set(seconds_between(self.clock.now(), expires));
        }
    }

    async fn update_from_store(&self) -> Result<(), Unavailable> {
        let now = self.clock.now();
        let StoreSize { bytes, free } = self.space.size().await?;
        gauge!("logkey_store_bytes").set(number(bytes));
        if let Some(free) = free {
            gauge!("logkey_store_free_bytes").set(number(free));
        }
        let pending = self.changes.list_pending(now).await?;
        gauge!("logkey_pending_changes").set(number(pending.len() as u64));
        let oldest = pending.iter().map(|change| seconds_between(change.event.time, now)).fold(0.0, f64::max);
        gauge!("logkey_pending_changes_oldest_seconds").set(oldest);
        // The checkpoint first: events that arrive in between count as not covered.
        let newest = self.tree.newest().await?;
        gauge!("logkey_checkpoint_age_seconds").set(seconds_between(newest.time, now).max(0.0));
        let last = self.log.list(&EventFilter::default(), None, 1).await?;
        let size = last.first().map_or(0, |event| event.seq);
        gauge!("logkey_checkpoint_uncovered_events").set(number(size.saturating_sub(newest.size)));
        Ok(())
    }
}

fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn number(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.as_micros().saturating_sub(from.as_micros()) as f64 / 1e6
}
