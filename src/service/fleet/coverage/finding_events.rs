//! Records findings in the audit log, and so in its sinks, when evaluations change them.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::texts;
use crate::{
    domain::{
        association::Location,
        audit::{
            Actor, AuditOperation, Compliance, Event, FindingChange, FindingRecord, JournalEntry, Keys, Kind,
        },
        fleet::{FindingKind, LocationCoverage},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        AuditLog, Clock, Unavailable,
        coverage::{
            CountedRules, CoverageFilter, CoverageStore, CoverageTotals, DailyCoverage, EvaluatedLocation,
            FindingChanges, FindingFilter, FindingWindow, LocationCount, ResourceFindings, StoredFinding,
            TenantLocation,
        },
    },
};

/// How many events it commits at the same time. The audit log stores them together.
const CONCURRENCY: usize = 256;

/// A store of coverage that also records each new, changed and resolved finding in the audit log. An event is
/// lost if the process ends between the two; the store has the finding then.
pub struct RecordedFindings {
    store: Arc<dyn CoverageStore>,
    audit: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
}

// === impl RecordedFindings ===

impl RecordedFindings {
    /// Records the findings of this store.
    #[must_use]
    pub fn new(store: Arc<dyn CoverageStore>, audit: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Self {
        Self { store, audit, clock }
    }

    /// Records the changes. `resolved` says what a resolved finding means for its resource.
    async fn record_changes(
        &self,
        changes: FindingChanges,
        resolved: impl Fn(&StoredFinding) -> Compliance,
    ) -> FindingChanges {
        let now = self.clock.now();
        let open = |found: &StoredFinding| compliance(found.finding.kind);
        let new = changes.new.iter().map(|it| event(it, FindingChange::New, open(it), now));
        let updated = changes.changed.iter().map(|it| event(it, FindingChange::Changed, open(it), now));
        let ended = changes.resolved.iter().map(|it| event(it, FindingChange::Resolved, resolved(it), now));
        let events: Vec<Event> = new.chain(updated).chain(ended).collect();
        let commits = events.into_iter().map(|event| self.audit.commit(JournalEntry::event_only(event)));
        let mut commits = stream::iter(commits).buffered(CONCURRENCY);
        while let Some(committed) = commits.next().await {
            if let Err(error) = committed {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a finding could not be recorded in the audit log");
            }
        }
        drop(commits);
        changes
    }
}

#[async_trait]
impl CoverageStore for RecordedFindings {
    async fn record(&self, found: &LocationCoverage) -> Result<FindingChanges, Unavailable> {
        let changes = self.store.record(found).await?;
        // A resource can have another finding of the same rule instead.
        let open: HashMap<_, _> =
            found.findings.iter().map(|it| ((&it.resource, &it.rule), compliance(it.kind))).collect();
        let outcome = |it: &StoredFinding| {
            open.get(&(&it.finding.resource, &it.finding.rule)).copied().unwrap_or(Compliance::Pass)
        };
        Ok(self.record_changes(changes, outcome).await)
    }

    async fn record_resource(&self, found: &ResourceFindings) -> Result<FindingChanges, Unavailable> {
        let changes = self.store.record_resource(found).await?;
        let open: HashMap<_, _> = found.findings.iter().map(|it| (&it.rule, compliance(it.kind))).collect();
        let outcome = |it: &StoredFinding| open.get(&it.finding.rule).copied().unwrap_or(Compliance::Pass);
        Ok(self.record_changes(changes, outcome).await)
    }

    async fn delete_rule(&self, tenant: &TenantId, rule: &str) -> Result<FindingChanges, Unavailable> {
        let changes = self.store.delete_rule(tenant, rule).await?;
        Ok(self.record_changes(changes, |_| Compliance::Unknown).await)
    }

    async fn retain(&self, existing: &[TenantLocation]) -> Result<FindingChanges, Unavailable> {
        let changes = self.store.retain(existing).await?;
        Ok(self.record_changes(changes, |_| Compliance::Unknown).await)
    }

    async fn delete_history(&self, before: Timestamp) -> Result<(), Unavailable> {
        self.store.delete_history(before).await
    }

    async fn locations(&self, filter: &CoverageFilter) -> Result<Vec<EvaluatedLocation>, Unavailable> {
        self.store.locations(filter).await
    }

    async fn counts(
        &self,
        filter: &CoverageFilter,
        rules: CountedRules<'_>,
        by_key: bool,
    ) -> Result<Vec<LocationCount>, Unavailable> {
        self.store.counts(filter, rules, by_key).await
    }

    async fn findings(
        &self,
        filter: &FindingFilter,
        window: &FindingWindow,
    ) -> Result<Vec<StoredFinding>, Unavailable> {
        self.store.findings(filter, window).await
    }

    async fn history(
        &self,
        tenant: Option<&TenantId>,
        locations: Option<&[Location]>,
        from: Timestamp,
    ) -> Result<Vec<DailyCoverage>, Unavailable> {
        self.store.history(tenant, locations, from).await
    }

    async fn totals(&self) -> Result<CoverageTotals, Unavailable> {
        self.store.totals().await
    }
}

fn event(stored: &StoredFinding, change: FindingChange, compliance: Compliance, now: Timestamp) -> Event {
    let StoredFinding { id, tenant, since, finding } = stored;
    let record = FindingRecord {
        id: *id,
        change,
        kind: finding.kind.as_str(),
        title: texts::title(finding.kind),
        compliance,
        rule: finding.rule.clone(),
        since: *since,
        message: texts::message(finding).into(),
        remedy: texts::remedy(finding).into(),
        remedy_document: finding.failure.as_ref().and_then(|failure| failure.remedy_document.clone()),
        current_key: finding.current.as_ref().map(|key| key.as_str().into()),
        changed_by: finding.changed_by.clone(),
    };
    Event {
        kind: Kind::Finding,
        actor: Actor { tenant: Some(tenant.clone()), ..Actor::default() },
        resource: Some(finding.resource.clone()),
        keys: Keys { resolved: finding.wanted.clone(), ..Keys::default() },
        finding: Some(Box::new(record)),
        ..Event::for_service(AuditOperation::Finding, now)
    }
}

/// What an open finding means for its resource.
fn compliance(kind: FindingKind) -> Compliance {
    match kind {
        FindingKind::Exempt | FindingKind::NoRule => Compliance::Warning,
        FindingKind::Unknown => Compliance::Unknown,
        FindingKind::OtherKey
        | FindingKind::NoKey
        | FindingKind::KeyUnhealthy
        | FindingKind::Conflict
        | FindingKind::Flapping => Compliance::Fail,
    }
}

impl std::fmt::Debug for RecordedFindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordedFindings")
    }
}
