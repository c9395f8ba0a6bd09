//! Reads the changes without an outcome from the log, so that the service can reconcile them.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;

use super::{event::settlement_outcome, parsed_event::ParsedEvent};
use crate::{
    domain::{
        association::{Location, Resource, Target},
        audit::{Actor, AuditOperation, Event, EventId, Keys, Kind, ReconciliationResult},
        call::{Action, RequestId},
        principal::Delegation,
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        EventFilter, EventReader, PendingChange, PendingChanges, RecordedChange, RecordedOutcome,
        StoredEvent, Unavailable,
    },
};

/// `metadata.event_code` of an intent.
const INTENT: &str = "intent";
/// `metadata.event_code` of an outcome.
const OUTCOME: &str = "outcome";
/// `metadata.event_code` of a reconciliation.
const RECONCILED: &str = "settled";

/// Finds changes without an outcome, and the reconciliation of a change.
pub struct PendingChangeReader {
    log: Arc<dyn EventReader>,
}

// === impl PendingChangeReader ===

impl PendingChangeReader {
    /// Reads from this log.
    #[must_use]
    pub fn new(log: Arc<dyn EventReader>) -> Self {
        Self { log }
    }
}

#[async_trait]
impl PendingChanges for PendingChangeReader {
    async fn list_pending(&self, before: Timestamp) -> Result<Vec<PendingChange>, Unavailable> {
        let found = self.log.open_intents(before).await?;
        let mut open = Vec::with_capacity(found.len());
        for stored in &found {
            match change(stored) {
                Some(change) => open.push(change),
                None => {
                    tracing::error!(audit.seq = stored.seq, "an intent of the audit log cannot be read");
                }
            }
        }
        Ok(open)
    }

    async fn find(&self, intent: EventId) -> Result<Option<PendingChange>, Unavailable> {
        Ok(self.log.find(intent).await?.as_ref().and_then(change))
    }

    async fn by_request_id(
        &self,
        tenant: &TenantId,
        id: &RequestId,
    ) -> Result<Option<RecordedChange>, Unavailable> {
        // Clients choose request ids, so a call can have any number of events. Both searches name one event.
        let call = EventFilter {
            tenant: Some(tenant.clone()),
            correlation: Some(id.as_str().to_owned()),
            ..EventFilter::default()
        };
        let intent = EventFilter { kind: Some(INTENT), ..call.clone() };
        let intent = self.log.list(&intent, None, 1).await?;
        let Some(change) = intent.first().and_then(change) else { return Ok(None) };
        let outcome = EventFilter { kind: Some(OUTCOME), closes: Some(change.intent), ..call };
        let outcome = self.log.list(&outcome, None, 1).await?;
        let outcome = outcome.first().and_then(|event| {
            let view = ParsedEvent::try_from(event).ok()?;
            Some(RecordedOutcome {
                event: event.id,
                failure: view.status.filter(|status| status != "OK").map(Into::into),
                detail: view.detail.map(Into::into),
            })
        });
        Ok(Some(RecordedChange { change, outcome }))
    }

    async fn reconciliation_of(
        &self,
        change: &PendingChange,
    ) -> Result<Option<(ReconciliationResult, EventId)>, Unavailable> {
        let filter = EventFilter {
            correlation: Some(change.event.correlation.as_str().to_owned()),
            kind: Some(RECONCILED),
            closes: Some(change.intent),
            ..EventFilter::default()
        };
        let reconciliation = |event: &StoredEvent| {
            let view = ParsedEvent::try_from(event).ok()?;
            Some((settlement_outcome(view.outcome.as_deref()?)?, event.id))
        };
        Ok(self.log.list(&filter, None, 1).await?.first().and_then(reconciliation))
    }
}

/// The recorded intent; none if the bytes are not an intent.
fn change(stored: &StoredEvent) -> Option<PendingChange> {
    let view = ParsedEvent::try_from(stored).ok()?;
    let location = Location {
        account: parse_intent(view.account.as_ref())?,
        region: parse_intent(view.region.as_ref())?,
    };
    let target = match &view.log_group {
        Some(name) => Target::LogGroup(name.parse().ok()?),
        None => Target::QueryResults,
    };
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    let event = Event {
        kind: Kind::Intent,
        act: AuditOperation::Rpc(Action::from_grpc_name(&view.action)),
        correlation: view.correlation.parse().ok()?,
        actor: Actor {
            tenant: parse_intent(view.tenant.as_ref()),
            subject: text(&view.subject),
            issuer: text(&view.issuer),
            token_id: text(&view.token_id),
            delegation: text(&view.on_behalf_of)
                .zip(text(&view.delegate))
                .map(|(on_behalf_of, actor)| Delegation { on_behalf_of, actor }),
            source: None,
            unverified_user_agent: None,
        },
        resource: Some(Resource { location, target }),
        keys: Keys {
            requested: view.requested_key.map(Into::into),
            resolved: parse_intent(view.resolved_key.as_ref()),
            previous: parse_intent(view.previous_key.as_ref()),
        },
        job: parse_intent(view.job.as_ref()),
        trace: parse_intent(view.trace.as_ref()),
        ..Event::for_service(AuditOperation::Start, view.time)
    };
    Some(PendingChange { intent: EventId(view.id.parse().ok()?), event })
}

fn parse_intent<T: FromStr>(text: Option<&String>) -> Option<T> {
    text?.parse().ok()
}

impl fmt::Debug for PendingChangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingChangeReader")
    }
}
