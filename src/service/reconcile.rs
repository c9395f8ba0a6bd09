//! Settles changes whose end is not known, by reading back what AWS now says: after a crash, and after
//! an answer that never came. Run beside the calls; a change that cannot be looked at yet stays open.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Dependencies, KeyBroker,
    audit_context::AuditContext,
    execute_change::upstream_outcome,
    idempotency::recorded_response,
    keyed_mutex::KeyGuard,
    observation_buffer::observation,
    query_results_probe::{Inconclusive, ProbeResult, Remedy},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{
            GetKeyAssociation, LogGroupName, PROPAGATION_DELAY, RecordedAssociation, Resource, Target,
        },
        audit::{Actor, AuditOperation, Completion, Event, EventId, JournalEntry, Kind, Settlement},
        authorization::Authorized,
        call::{Action, Call, RequestId},
        idempotency::{Answer, RecordedStep, RequestOutcome},
        principal::{PolicyClaims, Principal, Scopes},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        PendingChange, PendingChanges,
        limit::{Operation, QuotaKey},
    },
};

/// How long one reading back may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is found of one change.
enum Finding {
    /// This is so.
    Reconciled(Settlement),
    /// A query does not show it, and AWS may take that long to use another key.
    Pending,
    /// AWS does not say now; to be asked again.
    Unavailable,
}

/// What became of a change that was looked back at.
pub(super) enum Reconciliation {
    /// It is in force.
    InForce {
        /// What its caller is told.
        answer: Answer,
        /// The event that says so.
        event: EventId,
    },
    /// It is not, or it cannot be told: making it again does no harm.
    NotInForce,
    /// AWS does not say now, or what it says could not be recorded.
    NotNow,
}

impl KeyBroker {
    /// Settles every change whose intent is from before this time, as far as AWS answers.
    pub async fn reconcile(&self, changes: &dyn PendingChanges, before: Timestamp) {
        let open = match changes.list_pending(before).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "changes that may be open cannot be read; trying again"
                );
                return;
            }
        };
        for change in open {
            let intent = change.intent;
            let deadline = tokio::time::Instant::now().into_std() + TIMEOUT;
            if matches!(self.try_reconcile(change, deadline, None).await, Reconciliation::NotNow) {
                tracing::warn!(audit.intent = %intent, "how a change ended is not known yet; trying again");
            }
        }
    }

    /// Settles one change, where AWS says by then what became of it, for someone who would make it again:
    /// that does no harm, so that nothing is waited for which only time can show.
    pub(super) async fn reconcile_one(&self, change: PendingChange, deadline: Instant) -> Reconciliation {
        self.try_reconcile(change, deadline, Some(Settlement::CannotTell)).await
    }

    /// Settles one change once, also where whoever asks for it again comes while it is looked back at after
    /// a crash. `early` is what is settled where only time can show; none to come back later.
    async fn try_reconcile(
        &self,
        change: PendingChange,
        deadline: Instant,
        early: Option<Settlement>,
    ) -> Reconciliation {
        let Some(guard) = self.reconciling.lock(&change.intent, deadline).await else {
            return Reconciliation::NotNow;
        };
        match self.ports.open.reconciliation_of(&change).await {
            Ok(Some((settlement, event))) => return resolve(&change.event, settlement, event),
            Ok(None) => {}
            Err(_unavailable) => return Reconciliation::NotNow,
        }
        let found = match self.read_back(&change.event, deadline).await {
            Finding::Reconciled(settlement) => Some(settlement),
            Finding::Pending => early,
            Finding::Unavailable => None,
        };
        match found {
            Some(settlement) => self.record_reconciled(change, settlement, guard).await,
            None => Reconciliation::NotNow,
        }
    }

    async fn read_back(&self, intent: &Event, deadline: Instant) -> Finding {
        self.pinned_to(&self.snapshot()).read_back_at(intent, deadline).await
    }

    async fn read_back_at(&self, intent: &Event, deadline: Instant) -> Finding {
        let (Some(resource), Some(tenant)) = (&intent.resource, &intent.actor.tenant) else {
            return Finding::Reconciled(Settlement::CannotTell);
        };
        let Some(tenant) = self.snapshot().tenants().find(tenant) else {
            return Finding::Reconciled(Settlement::CannotTell);
        };
        let (call, principal) = (call(deadline), caller(intent, &tenant.id, self.ports.clock.now()));
        let command = GetKeyAssociation { resource: resource.clone() };
        let decided =
            Authorized::decide(|question| self.decide(question), &call, &principal, &tenant, command);
        match decided {
            Ok(permit) => match &resource.target {
                Target::LogGroup(name) => self.compare(&permit, name, intent, &call).await,
                Target::QueryResults => self.compare_results(&permit, intent, &call, &principal).await,
            },
            Err(_no_longer) => Finding::Reconciled(Settlement::CannotTell),
        }
    }

    async fn compare(
        &self,
        authorized: &Authorized<GetKeyAssociation>,
        name: &LogGroupName,
        intent: &Event,
        call: &Call,
    ) -> Finding {
        let access = authorized.access();
        let quota_key =
            QuotaKey { location: access.location().clone(), operation: Operation::DescribeLogGroups };
        let Ok(permit) = self.ports.limiter.acquire(&quota_key, &access.tenant().id, call.deadline).await
        else {
            return Finding::Unavailable;
        };
        let at = self.ports.clock.now();
        let found = self.ports.log_groups.find(access, name, call.deadline).await.result;
        permit.used(upstream_outcome(&found));
        if let Ok(Some(group)) = &found {
            self.observe([observation(access.location(), group, at)]);
        }
        match found {
            Ok(Some(group)) if group.key.as_ref() == intended_key(intent) => {
                Finding::Reconciled(Settlement::InForce)
            }
            Ok(Some(_)) => Finding::Reconciled(Settlement::NotInForce),
            Ok(None) => Finding::Reconciled(Settlement::CannotTell),
            Err(_) => Finding::Unavailable,
        }
    }

    /// The same for query results, as far as a query tells.
    async fn compare_results(
        &self,
        authorized: &Authorized<GetKeyAssociation>,
        intent: &Event,
        call: &Call,
        principal: &Principal,
    ) -> Finding {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let observation = match self.verified(call, principal, authorized.access(), &mut audit).await {
            ProbeResult::Confirmed(observation) => observation,
            ProbeResult::Unknown(Inconclusive { helps: Remedy::Time, .. }) => return Finding::Unavailable,
            // AWS has no call that tells the key of query results.
            ProbeResult::Off | ProbeResult::Unknown(_) => return Finding::Reconciled(Settlement::CannotTell),
        };
        let in_force = observation.key.as_ref() == intended_key(intent);
        if !in_force && observation.observed_at < intent.time.plus(PROPAGATION_DELAY) {
            return Finding::Pending;
        }
        self.observe([observation]);
        Finding::Reconciled(if in_force { Settlement::InForce } else { Settlement::NotInForce })
    }

    /// Records it on a task of its own: whoever asked may go away, and until it is recorded nobody else is to
    /// find the change open.
    async fn record_reconciled(
        &self,
        change: PendingChange,
        settlement: Settlement,
        guard: KeyGuard,
    ) -> Reconciliation {
        let ports = Arc::clone(&self.ports);
        let recording = self.ports.tasks.spawn(async move {
            let recorded = record(&ports, change, settlement).await;
            drop(guard);
            recorded
        });
        recording.await.unwrap_or(Reconciliation::NotNow)
    }
}

async fn record(ports: &Dependencies, change: PendingChange, settlement: Settlement) -> Reconciliation {
    let PendingChange { intent, event: intent_event } = change;
    let now = ports.clock.now();
    let association = match (settlement, &intent_event.resource) {
        (Settlement::InForce, Some(resource)) => Some(in_force(resource, &intent_event)),
        _ => None,
    };
    let answer = recorded_answer(&intent_event, settlement);
    let end = answer.clone().map_or(RequestOutcome::Open, RequestOutcome::Completed);
    let request = Some(RecordedStep::Outcome { intent, end });
    let end = Completion { failure: None, aws_error: None, latency: now.since(intent_event.time) };
    let event = Event {
        kind: Kind::Reconciled(settlement),
        time: now,
        closes: Some(intent),
        end: Some(end),
        ..intent_event
    };
    match ports.audit.commit(JournalEntry { association, request, ..JournalEntry::event_only(event) }).await {
        Ok(event) => {
            tracing::info!(audit.intent = %intent, ?settlement, "an open change was settled");
            answer.map_or(Reconciliation::NotInForce, |answer| Reconciliation::InForce { answer, event })
        }
        Err(error) => {
            tracing::warn!(
                audit.intent = %intent,
                error = &error as &dyn std::error::Error,
                "what was found of an open change is not recorded; trying again"
            );
            Reconciliation::NotNow
        }
    }
}

/// What its caller is told; none where it is not in force.
fn recorded_answer(intent: &Event, settlement: Settlement) -> Option<Answer> {
    let sets = intent.act == AuditOperation::Rpc(Action::AssociateKmsKey);
    (settlement == Settlement::InForce).then(|| recorded_response::of_reconciled(intent, sets))
}

/// What became of a change that was settled before.
fn resolve(intent: &Event, settlement: Settlement, event: EventId) -> Reconciliation {
    recorded_answer(intent, settlement)
        .map_or(Reconciliation::NotInForce, |answer| Reconciliation::InForce { answer, event })
}

/// What the change made true, at the latest when it was asked for: AWS took it at some moment after.
fn in_force(resource: &Resource, intent: &Event) -> RecordedAssociation {
    let sets = intent.act == AuditOperation::Rpc(Action::AssociateKmsKey);
    RecordedAssociation {
        resource: resource.clone(),
        key: intent.keys.resolved.clone().filter(|_| sets),
        previous_key: intent.keys.previous.clone(),
        accepted: intent.time,
    }
}

/// The key that the change was to set; none where it was to take it away.
fn intended_key(intent: &Event) -> Option<&KmsKeyArn> {
    let sets = intent.act == AuditOperation::Rpc(Action::AssociateKmsKey);
    intent.keys.resolved.as_ref().filter(|_| sets)
}

/// A call of the service's own.
fn call(deadline: Instant) -> Call {
    let received = tokio::time::Instant::now().into_std();
    Call {
        request_id: RequestId::new_v7(),
        action: Action::GetKeyAssociation,
        source: None,
        unverified_user_agent: None,
        received,
        deadline,
    }
}

/// Whoever asked for the change, without any scope: policy says whether it may still be looked at.
fn caller(intent: &Event, tenant: &TenantId, now: Timestamp) -> Principal {
    let Actor { subject, issuer, token_id, .. } = intent.actor.clone();
    Principal {
        tenant: tenant.clone(),
        subject: subject.unwrap_or_default(),
        issuer: issuer.unwrap_or_default(),
        scopes: Scopes::default(),
        claims: PolicyClaims::default(),
        token_id: token_id.unwrap_or_default(),
        expires: now,
    }
}
