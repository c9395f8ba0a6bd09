//! Executes one prepared change on a separate task: commits the intent, sends, commits the outcome.
//!
//! Nothing is sent before the intent is durable. If the client disconnects, the change still completes and
//! its outcome is recorded; only the response is lost.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use opentelemetry::context::FutureExt as _;
use rand::Rng as _;
use tokio::{sync::oneshot, time::timeout_at};
use tracing::Instrument as _;

use super::{
    change::{KeyChange, PreparedChange},
    changed::Changed,
    idempotency::Reservation,
    prior_state::PriorState,
    recorded_response,
};
use crate::{
    domain::{
        association::{KeyAssociation, RecordedAssociation, Resource},
        audit::{Event, EventId, JournalEntry, Kind},
        authorization::Authorized,
        idempotency::{RecordedStep, RequestOutcome},
    },
    ports::{Acknowledgement, AwsResponse, UpstreamError, limit::Priority},
    service::{
        context::Context,
        error::{AwsCallError, ChangeError, Error, FleetError, Repetition, StorageError},
        preflight::explain,
        shared::{
            job_gate::JobGate,
            upstream::{self, Unsent, now},
        },
    },
    spans,
};

/// How long a caller waits after the deadline for the outcome to be recorded.
const RECORD_GRACE: Duration = Duration::from_millis(250);
/// How long an adapter may exceed its deadline before its call counts as unanswered.
const UPSTREAM_GRACE: Duration = Duration::from_secs(1);
/// The wait before the first retry. It doubles with each retry, also with one after a throttle, which has no
/// wait.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait before a retry.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// The wait before the first retry of a refusal without a known cause. It doubles with each retry.
const FIRST_REFUSAL_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait before such a retry.
const MAX_REFUSAL_BACKOFF: Duration = Duration::from_secs(8);
/// How long after its deadline a change may still explain its failure and record it.
const POST_DEADLINE_BUDGET: Duration = Duration::from_secs(5);

type Responder = oneshot::Sender<Result<Changed, Error>>;

/// One prepared change, until its outcome is recorded.
struct Execution<K: KeyChange> {
    cx: Context,
    authorized: Authorized<K::Command>,
    reservation: Option<Reservation>,
}

/// Executes a prepared change, and waits for its outcome.
pub(super) async fn run<K: KeyChange>(
    cx: Context,
    prepared: PreparedChange<K::Command>,
    reservation: Option<Reservation>,
) -> Result<Changed, Error> {
    let PreparedChange { resource, authorized, guard, prior } = prepared;
    let tasks = cx.ports().tasks.clone();
    let (responder, receiver) = oneshot::channel();
    let execution = Execution::<K> { cx, authorized, reservation };
    let task = async move {
        execution.run(resource, prior, responder).await;
        // The lock of the resource is free only after the outcome is recorded.
        drop(guard);
    };
    // The task runs in the spans of the call, so that its log lines and its steps belong to the call.
    tasks.spawn(task.in_current_span().with_current_context());
    receiver.await.unwrap_or(Err(Error::Internal("a change ended without a result")))
}

// === impl Execution ===

impl<K: KeyChange> Execution<K> {
    async fn run(mut self, resource: Resource, mut prior: PriorState, responder: Responder) {
        let Some(responder) = self.commit_intent(&mut prior, responder).await else { return };
        let result = self.send_until_accepted().await.map(|Acknowledgement { aws_request_id }| {
            let key = K::new_key(self.authorized.command());
            // Later than what the prior state is known from, also if the clock was set back since.
            let now = self.cx.state.facts.now(&*self.cx.ports().clock);
            prior.into_changed(resource, key, Some(now), now, aws_request_id)
        });
        self.commit_outcome(responder, result).await;
    }

    /// Sends the change, and explains a refusal. If no check finds a cause, AWS has probably not applied a recent
    /// change of the key or of a policy yet. It is then sent again within the deadline, as AWS's own tools do:
    /// <https://github.com/aws-cloudformation/aws-cloudformation-resource-providers-logs>, the resource handler
    /// for log groups.
    async fn send_until_accepted(&mut self) -> Result<Acknowledgement, Error> {
        let deadline = self.cx.call.deadline;
        let mut backoff = FIRST_REFUSAL_BACKOFF;
        let mut refused: Option<Error> = None;
        loop {
            let sent = AssertUnwindSafe(self.send_with_retry()).catch_unwind().await;
            let sent = sent.unwrap_or_else(|_panic| {
                // AWS may have accepted the change before the panic. Reconciliation reads back whether it did.
                tracing::error!("a change panicked");
                Err(Error::Change(ChangeError::OutcomeUnknown { event: None, source: None }))
            });
            let error = match (sent, refused.take()) {
                (Ok(acknowledged), _) => return Ok(acknowledged),
                // Nothing was sent after the refusal.
                (
                    Err(
                        Error::Aws(AwsCallError::BudgetExhausted { .. } | AwsCallError::DeadlineBeforeAws)
                        | Error::Fleet(_),
                    ),
                    Some(refused),
                ) => return Err(refused),
                (Err(error @ Error::Aws(AwsCallError::Refused { .. })), earlier) => {
                    let explained =
                        Box::pin(explain::explain_refusal(&mut self.cx, &self.authorized, error, deadline))
                            .await;
                    match earlier {
                        // No time was left to find the cause. AWS refused this attempt like the earlier one.
                        Some(earlier) if now() >= deadline => return Err(earlier),
                        Some(_) | None => explained,
                    }
                }
                (Err(error), _) => return Err(error),
            };
            let wait = jittered(backoff);
            if !passes_by_itself(&error) || now() + wait >= deadline {
                return Err(error);
            }
            refused = Some(error);
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(MAX_REFUSAL_BACKOFF);
        }
    }

    /// Makes the intent durable. Returns the responder if the change may be sent. Otherwise it has sent the
    /// error to the caller, and an intent that becomes durable late gets an outcome.
    async fn commit_intent(&mut self, prior: &mut PriorState, responder: Responder) -> Option<Responder> {
        let deadline = self.cx.intent_deadline();
        if now() >= deadline {
            // The reads before the intent took all the time.
            let error = Error::Aws(AwsCallError::DeadlineBeforeAws);
            self.cx.record_refusal(&error);
            drop(responder.send(Err(error)));
            return None;
        }
        if let Some(Err(stopped)) = self.cx.gate().map(JobGate::check) {
            drop(responder.send(Err(FleetError::State(stopped).into())));
            return None;
        }
        let entry = JournalEntry {
            observation: prior.observation.take(),
            request: self.intent_step(),
            ..JournalEntry::event_only(self.cx.audit.intent(self.cx.ports()))
        };
        let state = Arc::clone(&self.cx.state);
        let mut commit = state.ports.audit.commit(entry);
        match timeout_at(deadline.into(), &mut commit).instrument(spans::step("intent")).await {
            // A process that was stopped meanwhile can be late although the intent is in time.
            Ok(Ok(event)) if now() < deadline => {
                self.cx.audit.intended(event);
                return Some(responder);
            }
            Ok(Ok(event)) => {
                drop(responder.send(Err(Error::Storage(StorageError::AuditUnavailable(None)))));
                self.close_unsent(event).await;
            }
            Ok(Err(unavailable)) => {
                let error = Error::Storage(StorageError::AuditUnavailable(Some(unavailable)));
                tracing::error!(error = &error as &dyn std::error::Error, "nothing was sent to AWS");
                drop(responder.send(Err(error)));
            }
            Err(_elapsed) => {
                drop(responder.send(Err(Error::Storage(StorageError::AuditUnavailable(None)))));
                if let Ok(event) = commit.await {
                    self.close_unsent(event).await;
                }
            }
        }
        None
    }

    /// Records that nothing was sent for an intent that became durable too late.
    async fn close_unsent(&mut self, intent: EventId) {
        self.cx.audit.intended(intent);
        let failure = Err(Error::Storage(StorageError::AuditUnavailable(None)));
        let request = self.outcome_step(&failure);
        let entry = JournalEntry { request, ..JournalEntry::event_only(self.outcome(&failure)) };
        drop(self.cx.ports().audit.commit(entry).await);
    }

    /// Sends the change with a permit. Retries while a retry can help, a permit comes in time, and the deadline
    /// has not passed.
    async fn send_with_retry(&mut self) -> Result<Acknowledgement, Error> {
        let deadline = self.cx.call.deadline;
        let mut backoff = FIRST_BACKOFF;
        let mut last_error: Option<UpstreamError> = None;
        let mut may_be_executed = false;
        loop {
            let (state, access) = (Arc::clone(&self.cx.state), self.authorized.access());
            let sending = K::send(&state.ports, &self.authorized, deadline);
            let sending = async {
                let sent = timeout_at((deadline + UPSTREAM_GRACE).into(), sending).await;
                sent.unwrap_or_else(AwsResponse::lost)
            };
            let attempt = upstream::attempt_change(&self.cx, access, K::OPERATION, deadline, sending).await;
            let response = match attempt {
                Ok(response) => response,
                Err(Unsent::JobStopped(stopped)) => {
                    return Err(match last_error {
                        Some(error) if may_be_executed => final_error(error, deadline),
                        Some(_) | None => FleetError::State(stopped).into(),
                    });
                }
                Err(Unsent::NoPermit(no_permit)) => {
                    return Err(match last_error {
                        None => no_permit.into(),
                        Some(UpstreamError::Throttled { answer }) => {
                            let retry_after = no_permit.retry_after;
                            Error::Aws(AwsCallError::Throttled { retry_after, answer })
                        }
                        Some(error) => final_error(error, deadline),
                    });
                }
            };
            self.cx.audit.record_aws_call(response.via);
            let error = match response.result {
                Ok(acknowledged) => return Ok(acknowledged),
                Err(error) => error,
            };
            let wait = match &error {
                // No wait here: the limiter delays the next permit after a throttle, and keeps the head of the queue
                // for the retry.
                UpstreamError::Throttled { .. } => Duration::ZERO,
                UpstreamError::Conflict { .. }
                | UpstreamError::StsThrottled { .. }
                | UpstreamError::Fault { .. }
                | UpstreamError::NotSent(_)
                | UpstreamError::Unanswered(_) => jittered(backoff),
                // The refusal is about this attempt. Reconciliation reads back whether AWS executed an earlier one.
                UpstreamError::Refused { .. }
                | UpstreamError::RoleNotAssumable { .. }
                | UpstreamError::ServiceMisconfigured { .. }
                    if may_be_executed =>
                {
                    let source = Some(error.into());
                    return Err(Error::Change(ChangeError::OutcomeUnknown { event: None, source }));
                }
                UpstreamError::Refused { .. }
                | UpstreamError::RoleNotAssumable { .. }
                | UpstreamError::ServiceMisconfigured { .. } => return Err(final_error(error, deadline)),
            };
            // A job reads the key back before it sends again.
            if matches!(error, UpstreamError::Unanswered(_)) && self.cx.priority() == Priority::Bulk {
                return Err(final_error(error, deadline));
            }
            may_be_executed |= matches!(error, UpstreamError::Fault { .. } | UpstreamError::Unanswered(_));
            // Once a call may have been executed, a later error that would be retried does not replace that error.
            let worst = match last_error.take() {
                Some(unanswered @ UpstreamError::Unanswered(_)) => unanswered,
                _ => error,
            };
            if now() + wait >= deadline {
                return Err(final_error(worst, deadline));
            }
            last_error = Some(worst);
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// The step of the idempotency record that is stored with the intent, if the request has an
    /// idempotency key.
    fn intent_step(&self) -> Option<RecordedStep> {
        let remaining = self.cx.call.deadline.saturating_duration_since(now());
        let max = remaining + UPSTREAM_GRACE + POST_DEADLINE_BUDGET;
        Some(self.reservation.as_ref()?.started(self.cx.ports().clock.now(), max))
    }

    /// The step of the idempotency record that is stored with the outcome. A success, and a refusal of AWS whose
    /// cause stays, are replayed from then on. After an unknown outcome, a repetition reads back first. After
    /// any other failure, a repetition runs the change.
    fn outcome_step(&self, result: &Result<Changed, Error>) -> Option<RecordedStep> {
        self.reservation.as_ref()?;
        let end = match result {
            Ok(changed) => RequestOutcome::Completed(recorded_response::of_success(changed)),
            Err(Error::Change(ChangeError::OutcomeUnknown { .. }) | Error::Internal(_)) => {
                RequestOutcome::Unknown
            }
            Err(error) => recorded_response::of_failure(error, self.cx.audit.key())
                .map_or(RequestOutcome::Open, RequestOutcome::Refused),
        };
        Some(RecordedStep::Outcome { intent: self.cx.audit.intent_id()?, end })
    }

    fn outcome(&self, result: &Result<Changed, Error>) -> Event {
        self.cx.audit.build_entry(self.cx.ports(), Kind::Outcome, result.as_ref().err())
    }

    /// Makes the outcome durable and responds. The caller does not wait for a store that hangs, and never
    /// gets a success whose outcome is not recorded.
    async fn commit_outcome(&self, responder: Responder, result: Result<Changed, Error>) {
        let association = result.as_ref().ok().and_then(|changed| recorded_association(&changed.association));
        let request = self.outcome_step(&result);
        let entry = JournalEntry { association, request, ..JournalEntry::event_only(self.outcome(&result)) };
        let mut commit = self.cx.ports().audit.commit(entry);
        let latest = self.cx.call.deadline.max(now()) + RECORD_GRACE;
        let committed = timeout_at(latest.into(), &mut commit).instrument(spans::step("outcome")).await;
        let done = match (result, committed) {
            (Ok(changed), Ok(Ok(event))) => Ok(Changed { event: Some(event), ..changed }),
            (Ok(Changed { aws_request_id, .. }), Ok(Err(_)) | Err(_)) => {
                tracing::error!(
                    aws.request_id = %aws_request_id,
                    "AWS made a change, but its outcome is not in the audit log yet"
                );
                Err(Error::Change(ChangeError::OutcomeNotRecorded { aws_request_id: Some(aws_request_id) }))
            }
            (Err(Error::Change(ChangeError::OutcomeUnknown { source, .. })), Ok(Ok(event))) => {
                Err(Error::Change(ChangeError::OutcomeUnknown { event: Some(event), source }))
            }
            (Err(error), Ok(Ok(_))) => Err(error),
            (Err(error), Ok(Err(_)) | Err(_)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a change did not succeed, and its outcome is not in the audit log yet"
                );
                Err(Error::FailureNotRecorded { error: Box::new(error) })
            }
        };
        // Sending fails if the client disconnected. The outcome is recorded even then.
        drop(responder.send(done));
    }
}

/// The association to record, if AWS accepted the change.
fn recorded_association(association: &KeyAssociation) -> Option<RecordedAssociation> {
    Some(RecordedAssociation {
        resource: association.resource.clone(),
        key: association.key.clone(),
        previous_key: association.previous_key.clone(),
        accepted: association.accepted?,
    })
}

/// The error of a change after its last attempt.
fn final_error(error: UpstreamError, deadline: Instant) -> Error {
    if let UpstreamError::Unanswered(source) = error {
        return Error::Change(ChangeError::OutcomeUnknown { event: None, source: Some(source) });
    }
    upstream::read_error(error, deadline)
}

/// Whether AWS probably lifts the refusal by itself.
fn passes_by_itself(error: &Error) -> bool {
    matches!(error, Error::Aws(error) if error.repetition() == Repetition::Advised)
}

/// A random time between half of `wait` and `wait`, so that callers that collided do not collide again.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_spread_over_half_of_the_wait() {
        let waits: Vec<_> = (0..1_000).map(|_| jittered(Duration::from_secs(1))).collect();
        let (min, max) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*min >= Duration::from_millis(500) && *max <= Duration::from_secs(1), "{min:?} {max:?}");
        let spread = max.saturating_sub(*min);
        assert!(spread > Duration::from_millis(400), "{min:?} {max:?}");
    }
}
