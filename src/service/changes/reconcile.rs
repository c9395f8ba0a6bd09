//! Reconciles changes whose outcome is unknown, after a crash or a missing response, by reading back the
//! state in AWS. It runs in the background and for repeated requests. A change that cannot be read back
//! yet stays pending.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::recorded_response;
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{
            GetKeyAssociation, LogGroupName, PROPAGATION_DELAY, RecordedAssociation, Resource, Target,
        },
        audit::{
            Actor, AuditOperation, Completion, Event, EventId, JournalEntry, Kind, ReconciliationResult,
        },
        authorization::{Access, PolicyFacts},
        call::{Action, Call, CallSummary, RequestId},
        idempotency::{Answer, RecordedStep, RequestOutcome},
        principal::{PolicyClaims, Principal, Scopes},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{AwsResponse, PendingChange, limit::Operation},
    service::{
        context::Context,
        shared::{
            keyed_mutex::KeyGuard,
            observation_buffer::observation,
            query_results_probe::{self, Inconclusive, ProbeResult, Remedy},
            upstream,
        },
        state::{Dependencies, ServiceState},
    },
};

/// The timeout for the read-back of one change.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The result of the read-back of one change.
enum Finding {
    /// The outcome is found, or can never be found.
    Reconciled(ReconciliationResult),
    /// A query shows a different key, but AWS may not use the new key yet.
    Pending,
    /// The read failed and has to be repeated.
    Unavailable,
}

/// The result of the reconciliation of one change, for a request with the same idempotency key.
pub(in crate::service) enum Reconciliation {
    /// The change is in effect.
    Effective {
        /// The response to its caller.
        answer: Answer,
        /// The `settled` event.
        event: EventId,
    },
    /// The change is not in effect, or nobody can find out. Repeating it does no harm.
    NotEffective,
    /// The read failed, or its result could not be recorded.
    NotNow,
}

/// Reconciles these changes. One that cannot be read back stays pending.
pub async fn reconcile(state: &Arc<ServiceState>, pending: Vec<PendingChange>) {
    for change in pending {
        let intent = change.intent;
        let deadline = upstream::now() + TIMEOUT;
        if matches!(try_reconcile(state, change, deadline, None).await, Reconciliation::NotNow) {
            tracing::warn!(audit.intent = %intent, "the outcome of a change is still unknown; retrying");
        }
    }
}

/// Reconciles one change for a caller that would repeat it. Repeating it does no harm, so this does not
/// wait for an outcome that only time can show.
pub(in crate::service) async fn reconcile_one(
    state: &Arc<ServiceState>,
    change: PendingChange,
    deadline: Instant,
) -> Reconciliation {
    try_reconcile(state, change, deadline, Some(ReconciliationResult::Indeterminate)).await
}

/// Reconciles a change once, even if several tasks try at the same time. If only time can show the outcome,
/// `early` is recorded; with `None` the change stays pending.
async fn try_reconcile(
    state: &Arc<ServiceState>,
    change: PendingChange,
    deadline: Instant,
    early: Option<ReconciliationResult>,
) -> Reconciliation {
    let Some(guard) = state.reconciliation_locks.lock(&change.intent, deadline).await else {
        return Reconciliation::NotNow;
    };
    match state.ports.open.reconciliation_of(&change).await {
        Ok(Some((settlement, event))) => return resolve(&change.event, settlement, event),
        Ok(None) => {}
        Err(_unavailable) => return Reconciliation::NotNow,
    }
    let found = match read_back(state, &change.event, deadline).await {
        Finding::Reconciled(settlement) => Some(settlement),
        Finding::Pending => early,
        Finding::Unavailable => None,
    };
    match found {
        Some(settlement) => record_reconciled(state, change, settlement, guard).await,
        None => Reconciliation::NotNow,
    }
}

/// Reads back whether the change is in effect.
async fn read_back(state: &Arc<ServiceState>, intent: &Event, deadline: Instant) -> Finding {
    let (Some(resource), Some(tenant)) = (&intent.resource, &intent.actor.tenant) else {
        return Finding::Reconciled(ReconciliationResult::Indeterminate);
    };
    let snapshot = state.ports.rules.current();
    let Some(tenant) = snapshot.tenants().find(tenant) else {
        return Finding::Reconciled(ReconciliationResult::Indeterminate);
    };
    let (call, principal) = (call(deadline), caller(intent, &tenant.id, state.ports.clock.now()));
    let mut cx = Context::new(Arc::clone(state), snapshot, Arc::new(call), Arc::new(principal));
    let command = GetKeyAssociation { resource: resource.clone() };
    match cx.decide_command(&PolicyFacts::default(), &tenant, command) {
        Ok(authorized) => match &resource.target {
            Target::LogGroup(name) => compare(&cx, authorized.access(), name, intent).await,
            Target::QueryResults => compare_results(&mut cx, authorized.access(), intent).await,
        },
        Err(_no_longer) => Finding::Reconciled(ReconciliationResult::Indeterminate),
    }
}

async fn compare(cx: &Context, access: &Access, name: &LogGroupName, intent: &Event) -> Finding {
    let (ports, deadline) = (cx.ports(), cx.call.deadline);
    let send = async {
        let at = cx.state.fact_time(access.location()).await;
        ports.log_groups.find(access, name, deadline).await.map(|found| (found, at))
    };
    let found = upstream::attempt(cx, access, Operation::DescribeLogGroups, deadline, send).await;
    let Ok(AwsResponse { result: Ok((found, at)), .. }) = found else { return Finding::Unavailable };
    let Some(group) = found else { return Finding::Reconciled(ReconciliationResult::Indeterminate) };
    cx.state.observations.add([observation(access.location(), &group, at)]);
    let is_applied = group.key.as_ref() == intended_key(intent);
    Finding::Reconciled(if is_applied {
        ReconciliationResult::Effective
    } else {
        ReconciliationResult::NotEffective
    })
}

/// The same for query results, whose key only a query can show.
async fn compare_results(cx: &mut Context, access: &Access, intent: &Event) -> Finding {
    let observation = match query_results_probe::probe(cx, access).await {
        ProbeResult::Confirmed(observation) => observation,
        ProbeResult::Unknown(Inconclusive { helps: Remedy::Time, .. }) => return Finding::Unavailable,
        // AWS has no call that returns the key of query results.
        ProbeResult::Off | ProbeResult::Unknown(_) => {
            return Finding::Reconciled(ReconciliationResult::Indeterminate);
        }
    };
    let is_applied = observation.key.as_ref() == intended_key(intent);
    if !is_applied && observation.observed_at < intent.time.plus(PROPAGATION_DELAY) {
        return Finding::Pending;
    }
    cx.state.observations.add([observation]);
    Finding::Reconciled(if is_applied {
        ReconciliationResult::Effective
    } else {
        ReconciliationResult::NotEffective
    })
}

/// Records the outcome on a separate task, so that a caller that disconnects does not interrupt it. The
/// task holds the lock, so no other task reconciles the change before the outcome is recorded.
async fn record_reconciled(
    state: &Arc<ServiceState>,
    change: PendingChange,
    settlement: ReconciliationResult,
    guard: KeyGuard,
) -> Reconciliation {
    let shared = Arc::clone(state);
    let recording = state.ports.tasks.spawn(async move {
        let recorded = record(&shared.ports, change, settlement).await;
        drop(guard);
        recorded
    });
    recording.await.unwrap_or(Reconciliation::NotNow)
}

async fn record(
    ports: &Dependencies,
    change: PendingChange,
    settlement: ReconciliationResult,
) -> Reconciliation {
    let PendingChange { intent, event: intent_event } = change;
    let now = ports.clock.now();
    let association = match (settlement, &intent_event.resource) {
        (ReconciliationResult::Effective, Some(resource)) => {
            Some(association_of_intent(resource, &intent_event))
        }
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
            tracing::info!(audit.intent = %intent, ?settlement, "a pending change was reconciled");
            answer.map_or(Reconciliation::NotEffective, |answer| Reconciliation::Effective { answer, event })
        }
        Err(error) => {
            tracing::warn!(
                audit.intent = %intent,
                error = &error as &dyn std::error::Error,
                "the outcome of a pending change cannot be recorded; retrying"
            );
            Reconciliation::NotNow
        }
    }
}

/// The recorded response to the caller of the change. `None` if the change is not in effect.
fn recorded_answer(intent: &Event, settlement: ReconciliationResult) -> Option<Answer> {
    let sets_key = intent.act == AuditOperation::Rpc(Action::AssociateKmsKey);
    (settlement == ReconciliationResult::Effective)
        .then(|| recorded_response::of_reconciled(intent, sets_key))
}

/// The result for a change that was reconciled before.
fn resolve(intent: &Event, settlement: ReconciliationResult, event: EventId) -> Reconciliation {
    recorded_answer(intent, settlement)
        .map_or(Reconciliation::NotEffective, |answer| Reconciliation::Effective { answer, event })
}

/// The association that the change made. The time of the intent stands for the time at which AWS accepted
/// it, which is unknown.
fn association_of_intent(resource: &Resource, intent: &Event) -> RecordedAssociation {
    let sets_key = intent.act == AuditOperation::Rpc(Action::AssociateKmsKey);
    RecordedAssociation {
        resource: resource.clone(),
        key: intent.keys.resolved.clone().filter(|_| sets_key),
        previous_key: intent.keys.previous.clone(),
        accepted: intent.time,
    }
}

/// The key that the change sets. `None` if it removes the key.
fn intended_key(intent: &Event) -> Option<&KmsKeyArn> {
    let sets_key = intent.act == AuditOperation::Rpc(Action::AssociateKmsKey);
    intent.keys.resolved.as_ref().filter(|_| sets_key)
}

/// The call of a read-back, which the service makes on its own behalf.
fn call(deadline: Instant) -> Call {
    let received = tokio::time::Instant::now().into_std();
    Call {
        request_id: RequestId::new_v7(),
        action: Action::GetKeyAssociation,
        source: None,
        unverified_user_agent: None,
        summary: CallSummary::default(),
        received,
        deadline,
    }
}

/// The caller of the change, without scopes. Policy decides whether it may still read the resource.
fn caller(intent: &Event, tenant: &TenantId, now: Timestamp) -> Principal {
    let Actor { subject, issuer, token_id, delegation, .. } = intent.actor.clone();
    Principal {
        tenant: tenant.clone(),
        subject: subject.unwrap_or_default(),
        issuer: issuer.unwrap_or_default(),
        scopes: Scopes::default(),
        claims: PolicyClaims::default(),
        token_id: token_id.unwrap_or_default(),
        expires: now,
        delegation,
    }
}
