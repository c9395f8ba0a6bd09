//! What the service records of itself, and what it does on the side while it runs.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;

use crate::{
    aws::Aws,
    domain::{
        audit::{AuditOperation, Completion, Event, JournalEntry},
        reason::Reason,
        time::Timestamp,
    },
    limit::{LocalQuota, LocalUpstreamLimiter, QuotaDiscoverer},
    ports::{AuditLog, AuditUnavailable, Clock, Leadership, PendingChanges},
    service::KeyBroker,
};

/// How often changes are looked for whose answer never came.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(10);
/// How long after the longest deadline of a call it cannot be under way any more, in whichever process: its
/// last seconds, and as much again for clocks that differ.
const RECONCILE_AFTER: Duration = Duration::from_secs(30);

/// How often samples of latencies are put into their histograms.
const FOLD_EVERY: Duration = Duration::from_secs(1);

/// Records that the service started, stopped or took over settings; with a reason where it refused to.
pub(super) async fn record(
    audit: &dyn AuditLog,
    clock: &dyn Clock,
    act: AuditOperation,
    failure: Option<Reason>,
    detail: Option<Box<str>>,
) -> Result<(), AuditUnavailable> {
    let end = Completion { failure, aws_error: None, latency: Duration::ZERO };
    let event = Event { end: Some(end), detail, ..Event::for_service(act, clock.now()) };
    audit.commit(JournalEntry::event_only(event)).await.map(drop)
}

/// Settles changes whose end is not known: at once those that an earlier run of the service left open, where no
/// other process can be at them; later those that no call can still be at. One process does that.
pub(super) async fn run_reconciler(
    broker: KeyBroker,
    changes: Arc<impl PendingChanges>,
    leadership: Arc<dyn Leadership>,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    request_timeout: Duration,
) {
    if leadership.is_single_node() {
        broker.reconcile(&*changes, started).await;
    }
    let mut rounds = tokio::time::interval(RECONCILE_INTERVAL);
    loop {
        rounds.tick().await;
        if !leadership.is_leader() {
            continue;
        }
        broker.reconcile(&*changes, clock.now().minus(request_timeout + RECONCILE_AFTER)).await;
    }
}

/// Forgets quotas of places at rest and brings gauges up to date, for as long as the service runs.
pub(super) async fn run_maintenance(
    quota: Arc<LocalQuota>,
    limiter: Arc<LocalUpstreamLimiter>,
    learner: Option<QuotaDiscoverer>,
    aws: Option<Arc<Aws>>,
    every: Duration,
) {
    let mut rounds = tokio::time::interval(every);
    loop {
        rounds.tick().await;
        if let Some(learner) = &learner {
            learner.forget_idle();
        }
        gauge("logkey_tenant_budgets", quota.tracked());
        gauge("logkey_upstream_quota_keys", limiter.tracked());
        if let Some(aws) = &aws {
            gauge("logkey_aws_sessions", aws.sessions());
        }
    }
}

/// Puts samples of latencies into their histograms for as long as the service runs: each is kept by
/// itself until then, which would be for ever where nobody asks for metrics.
pub(super) async fn run_metrics_upkeep(metrics: Option<PrometheusHandle>) {
    let Some(metrics) = metrics else { return };
    let mut rounds = tokio::time::interval(FOLD_EVERY);
    loop {
        rounds.tick().await;
        metrics.run_upkeep();
    }
}

fn gauge(name: &'static str, value: usize) {
    metrics::gauge!(name).set(f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
}
