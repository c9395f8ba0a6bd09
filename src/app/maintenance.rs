//! Records starts, stops and reloads, and runs the periodic work of the service.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::telemetry::Recorder;
use crate::{
    aws::Aws,
    domain::{
        audit::{AuditOperation, Completion, Event, EventId, JournalEntry},
        fleet::CoverageClass,
        reason::Reason,
        time::Timestamp,
    },
    limit::{LocalQuota, LocalUpstreamLimiter, QuotaDiscoverer},
    ports::{
        AuditLog, AuditUnavailable, Clock, Leadership, PendingChange, PendingChanges, Unavailable,
        coverage::{CoverageStore, CoverageTotals},
    },
    service::{self, ServiceState},
};

/// How often it looks for changes whose outcome is unknown.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(10);
/// How long after the latest deadline of a call no process can still be working on it. It covers the last
/// seconds of the call.
const RECONCILE_AFTER: Duration = Duration::from_secs(30);

/// How long the start waits for the first check of the service's own AWS credentials.
const START_CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often credentials that AWS has not accepted are checked.
const CREDENTIALS_INTERVAL: Duration = Duration::from_secs(15);

/// How often latency samples are moved into their histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Records that the service started, stopped or reloaded its settings; with a reason if a reload failed.
pub(super) async fn record(
    audit: &dyn AuditLog,
    clock: &dyn Clock,
    operation: AuditOperation,
    failure: Option<Reason>,
    detail: Option<Box<str>>,
) -> Result<(), AuditUnavailable> {
    let end = Completion { failure, aws_error: None, latency: Duration::ZERO };
    let event = Event { end: Some(end), detail, ..Event::for_service(operation, clock.now()) };
    audit.commit(JournalEntry::event_only(event)).await.map(drop)
}

/// Reconciles changes whose outcome is unknown.
pub(super) struct Reconciler<C> {
    pub(super) state: Arc<ServiceState>,
    pub(super) changes: Arc<C>,
    pub(super) leadership: Arc<dyn Leadership>,
    /// When this process started.
    pub(super) started: Timestamp,
    /// The longest time of a call.
    pub(super) request_timeout: Duration,
}

impl<C: PendingChanges> Reconciler<C> {
    /// Runs as long as the service. With a single process, it first reconciles the changes that an earlier
    /// run left open. Later it reconciles those that no call can still be working on. Only the leader does
    /// this.
    pub(super) async fn run(self) {
        if self.leadership.is_single_node() {
            let pending = self.list_pending(self.started).await;
            service::reconcile(&self.state, pending.unwrap_or_default()).await;
        }
        let mut open_since = HashMap::new();
        let mut ticks = tokio::time::interval(RECONCILE_INTERVAL);
        loop {
            ticks.tick().await;
            let abandoned = self.abandoned(&mut open_since).await;
            if self.leadership.is_leader() {
                service::reconcile(&self.state, abandoned).await;
            }
        }
    }

    /// The changes that no call can still be working on, by how long this process has seen them open. Wall
    /// clocks do not count: they jump, and those of replicas differ.
    async fn abandoned(&self, open_since: &mut HashMap<EventId, Instant>) -> Vec<PendingChange> {
        let pending = self.list_pending(Timestamp::from_micros(i64::MAX)).await;
        let Some(mut pending) = pending else { return Vec::new() };
        let (now, before) = (Instant::now(), mem::take(open_since));
        for PendingChange { intent, .. } in &pending {
            open_since.insert(*intent, before.get(intent).copied().unwrap_or(now));
        }
        let is_abandoned = |since: &Instant| now - *since >= self.request_timeout + RECONCILE_AFTER;
        pending.retain(|change| open_since.get(&change.intent).is_some_and(is_abandoned));
        pending
    }

    /// None if the store does not answer.
    async fn list_pending(&self, before: Timestamp) -> Option<Vec<PendingChange>> {
        let report = |error: &Unavailable| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "changes with an unknown outcome cannot be read from the store; retrying"
            );
        };
        self.changes.list_pending(before).await.inspect_err(report).ok()
    }
}

/// Checks whether the service itself has AWS credentials. A check that takes long goes on while the
/// service starts, because a source of credentials that does not respond must not keep it from starting.
pub(super) async fn check_credentials_at_start(aws: &Arc<Aws>) {
    let check = tokio::spawn({
        let aws = Arc::clone(aws);
        async move { aws.check_credentials_source().await }
    });
    // Dropping the handle does not end the check.
    drop(tokio::time::timeout(START_CHECK_TIMEOUT, check).await);
}

/// Checks whether AWS accepts the service's own credentials until it does, as long as the service runs. Without
/// it, the probe would show neither a fault before the first call nor its end.
pub(super) async fn run_credentials_check(aws: Option<Arc<Aws>>) {
    let Some(aws) = aws else { return };
    loop {
        tokio::time::sleep(CREDENTIALS_INTERVAL).await;
        aws.check_credentials().await;
    }
}

/// Forgets discovered quotas of idle locations and updates gauges, as long as the service runs.
pub(super) async fn run_maintenance(
    quota: Arc<LocalQuota>,
    limiter: Arc<LocalUpstreamLimiter>,
    quota_discoverer: Option<QuotaDiscoverer>,
    aws: Option<Arc<Aws>>,
    interval: Duration,
) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        if let Some(discoverer) = &quota_discoverer {
            discoverer.forget_idle();
        }
        gauge("logkey_tenant_budgets", quota.tracked());
        gauge("logkey_upstream_quota_keys", limiter.tracked());
        if let Some(aws) = &aws {
            gauge("logkey_aws_sessions", aws.sessions());
        }
    }
}

/// Updates the gauges of coverage from the store, as long as the service runs.
pub(super) async fn run_coverage_gauges(store: Arc<dyn CoverageStore>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        let CoverageTotals { resources, findings } = match store.totals().await {
            Ok(totals) => totals,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(
                    error,
                    "the metrics of coverage keep their values, because the store cannot be read"
                );
                continue;
            }
        };
        for class in CoverageClass::ALL {
            let count = f64::from(u32::try_from(resources.of(class)).unwrap_or(u32::MAX));
            metrics::gauge!("logkey_coverage_resources", "class" => class.as_str()).set(count);
        }
        gauge("logkey_coverage_findings", usize::try_from(findings).unwrap_or(usize::MAX));
    }
}

/// Keeps the metrics small and complete, as long as the service runs. Without this, the recorder keeps every
/// latency sample until somebody reads the metrics, which may be never.
pub(super) async fn run_metrics_upkeep(metrics: Option<Recorder>) {
    let Some(metrics) = metrics else { return };
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

fn gauge(name: &'static str, value: usize) {
    metrics::gauge!(name).set(f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
}
