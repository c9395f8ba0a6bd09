//! One change of AWS, from its intent to its outcome, on a task of its own.
//!
//! Called by the use cases that change something. Guarantees that nothing is sent before the intent is
//! durable, and that a caller who goes away takes nothing along: the outcome is written all the same.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use rand::Rng as _;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::{
    Changed, Dependencies, Error,
    audit_context::AuditContext,
    explain,
    idempotency::{Reservation, recorded_response},
    keyed_mutex::KeyGuard,
};
use crate::{
    domain::{
        association::{KeyAssociation, RecordedAssociation},
        audit::{JournalEntry, Kind},
        authorization::{Authorized, Command},
        history::Observation,
        idempotency::{RecordedStep, RequestOutcome},
        time::Timestamp,
    },
    ports::{
        Acknowledgement, AwsResponse, UpstreamError, UpstreamPermit,
        limit::{Operation, QuotaKey, UpstreamOutcome},
    },
};

/// How long a caller is kept waiting, beyond the deadline, for the record of what was done.
const RECORD_GRACE: Duration = Duration::from_millis(250);
/// How long an adapter may overrun the deadline that it was given before it counts as lost.
const UPSTREAM_GRACE: Duration = Duration::from_secs(1);
/// The first wait before a repetition; each further one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait before a repetition.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// How long after its deadline a change may still be finding out why it failed, and recording that.
const POST_DEADLINE_BUDGET: Duration = Duration::from_secs(5);
/// When to try again after a throttle that lasted until the deadline.
const AFTER_THROTTLE: Duration = Duration::from_secs(1);

/// Everything one change needs.
pub(super) struct Change<C> {
    pub(super) ports: Arc<Dependencies>,
    pub(super) authorized: Arc<Authorized<C>>,
    pub(super) operation: Operation,
    pub(super) audit: AuditContext,
    pub(super) deadline: Instant,
    /// Keeps other changes of the same resource waiting until this one has ended.
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) guard: KeyGuard,
    /// What was seen of the resource, to be kept with the intent.
    pub(super) observation: Option<Observation>,
    /// Held where the request came with an id of its own.
    pub(super) reservation: Option<Reservation>,
}

type Answer = oneshot::Sender<Result<Changed, Error>>;

// === impl Change ===

impl<C: Command + Send + Sync + 'static> Change<C> {
    /// Makes the change by `attempt`, which may be repeated; `tell` makes the answer from AWS's id of
    /// the call and the moment at which it was taken.
    pub(super) async fn execute<A, F>(
        self,
        tell: impl FnOnce(Box<str>, Timestamp) -> Changed + Send + 'static,
        attempt: A,
    ) -> Result<Changed, Error>
    where
        A: Fn(Arc<Dependencies>, Arc<Authorized<C>>, Instant) -> F + Send + Sync + 'static,
        F: Future<Output = AwsResponse<Acknowledgement>> + Send + 'static,
    {
        let (answer, receiver) = oneshot::channel();
        // Its log lines are the call's.
        self.ports.tasks.clone().spawn(self.run(tell, attempt, answer).in_current_span());
        receiver.await.unwrap_or(Err(Error::Internal("a change ended without an answer")))
    }

    async fn run<A, F>(
        mut self,
        tell: impl FnOnce(Box<str>, Timestamp) -> Changed,
        attempt: A,
        answer: Answer,
    ) where
        A: Fn(Arc<Dependencies>, Arc<Authorized<C>>, Instant) -> F,
        F: Future<Output = AwsResponse<Acknowledgement>>,
    {
        let Some(answer) = self.commit_intent(answer).await else { return };
        let acted = AssertUnwindSafe(self.send_with_retry(&attempt)).catch_unwind().await;
        let acted = acted.unwrap_or_else(|_panic| {
            // Perhaps after AWS had taken it: so it is settled by reading back.
            tracing::error!("a change panicked");
            Err(Error::OutcomeUnknown { event: None, source: None })
        });
        let result = match acted {
            Ok(Acknowledgement { aws_request_id }) => Ok(tell(aws_request_id, self.ports.clock.now())),
            Err(error) => {
                let (ports, authorized, deadline) = (&self.ports, &self.authorized, self.deadline);
                Err(explain::explain_refusal(ports, authorized, error, deadline, &mut self.audit).await)
            }
        };
        let event = self.audit.build_entry(&self.ports, Kind::Outcome, result.as_ref().err());
        let association = result.as_ref().ok().and_then(|changed| record(&changed.association));
        let request = self.outcome_step(&result);
        self.commit_outcome(
            answer,
            JournalEntry { association, request, ..JournalEntry::event_only(event) },
            result,
        )
        .await;
    }

    /// Makes the intent durable. Gives the answer back where the change may go on; otherwise the
    /// caller was told, and an intent that was kept after all got its outcome.
    async fn commit_intent(&mut self, answer: Answer) -> Option<Answer> {
        if now() >= self.deadline {
            // What was looked at before took all the time. The log is as good as ever.
            let error = Error::DeadlineBeforeAws;
            self.audit.record_refusal(&self.ports, &error);
            drop(answer.send(Err(error)));
            return None;
        }
        let entry = JournalEntry {
            observation: self.observation.take(),
            request: self.intent_step(),
            ..JournalEntry::event_only(self.audit.intent(&self.ports))
        };
        let mut commit = self.ports.audit.commit(entry);
        let committed = tokio::time::timeout_at(self.deadline.into(), &mut commit).await;
        match committed {
            Ok(Ok(event)) => {
                self.audit.intended(event);
                return Some(answer);
            }
            Ok(Err(unavailable)) => {
                let error = Error::AuditUnavailable(Some(unavailable));
                tracing::error!(error = &error as &dyn std::error::Error, "nothing was sent to AWS");
                drop(answer.send(Err(error)));
            }
            Err(_elapsed) => {
                drop(answer.send(Err(Error::AuditUnavailable(None))));
                if let Ok(event) = commit.await {
                    self.audit.intended(event);
                    let failure = Error::AuditUnavailable(None);
                    let event = self.audit.build_entry(&self.ports, Kind::Outcome, Some(&failure));
                    let request = self.outcome_step(&Err(failure));
                    drop(
                        self.ports
                            .audit
                            .commit(JournalEntry { request, ..JournalEntry::event_only(event) })
                            .await,
                    );
                }
            }
        }
        None
    }

    /// Waits for a turn and sends, again where a repetition can help, until the deadline.
    async fn send_with_retry<A, F>(&mut self, attempt: &A) -> Result<Acknowledgement, Error>
    where
        A: Fn(Arc<Dependencies>, Arc<Authorized<C>>, Instant) -> F,
        F: Future<Output = AwsResponse<Acknowledgement>>,
    {
        let mut backoff = FIRST_BACKOFF;
        let mut last_error: Option<UpstreamError> = None;
        loop {
            let permit = match self.acquire_permit().await {
                Ok(permit) => permit,
                Err(rejection) => {
                    return Err(last_error.map_or(rejection, |error| final_error(error, self.deadline)));
                }
            };
            let sending = attempt(Arc::clone(&self.ports), Arc::clone(&self.authorized), self.deadline);
            let last_moment = self.deadline + UPSTREAM_GRACE;
            let Ok(response) = tokio::time::timeout_at(last_moment.into(), sending).await else {
                permit.used(UpstreamOutcome::Unanswered);
                return Err(Error::OutcomeUnknown { event: None, source: None });
            };
            permit.used(upstream_outcome(&response.result));
            self.audit.record_aws_call(response.via);
            let error = match response.result {
                Ok(acknowledged) => return Ok(acknowledged),
                Err(error) => error,
            };
            let wait = match &error {
                // The pace knows of it; the next turn comes when the account's quota has one.
                UpstreamError::Throttled { .. } => Duration::ZERO,
                UpstreamError::Conflict { .. }
                | UpstreamError::Fault { .. }
                | UpstreamError::NotSent(_)
                | UpstreamError::Unanswered(_) => jittered(backoff),
                UpstreamError::Refused { .. } | UpstreamError::RoleNotAssumable { .. } => {
                    return Err(final_error(error, self.deadline));
                }
            };
            // What may have been executed stays the worst that is known.
            let worst = match last_error.take() {
                Some(unanswered @ UpstreamError::Unanswered(_)) => unanswered,
                _ => error,
            };
            if now() + wait >= self.deadline {
                return Err(final_error(worst, self.deadline));
            }
            last_error = Some(worst);
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// That the request is begun, where it has an id of its own.
    fn intent_step(&self) -> Option<RecordedStep> {
        let max = self.deadline.saturating_duration_since(now()) + UPSTREAM_GRACE + POST_DEADLINE_BUDGET;
        Some(self.reservation.as_ref()?.started(self.ports.clock.now(), max))
    }

    /// How the request ended: what AWS decided stands; what it never took up may be tried again; what
    /// became of the rest is read back first.
    fn outcome_step(&self, result: &Result<Changed, Error>) -> Option<RecordedStep> {
        self.reservation.as_ref()?;
        let end = match result {
            Ok(changed) => RequestOutcome::Completed(recorded_response::of_success(changed)),
            Err(Error::OutcomeUnknown { .. } | Error::Internal(_)) => RequestOutcome::Unknown,
            Err(error) => recorded_response::of_failure(error, self.audit.key())
                .map_or(RequestOutcome::Open, RequestOutcome::Refused),
        };
        Some(RecordedStep::Outcome { intent: self.audit.intent_id()?, end })
    }

    async fn acquire_permit(&self) -> Result<UpstreamPermit, Error> {
        let access = self.authorized.access();
        let quota_key = QuotaKey { location: access.location().clone(), operation: self.operation };
        let permit = self.ports.limiter.acquire(&quota_key, &access.tenant().id, self.deadline).await;
        permit.map_err(|rejection| Error::BudgetExhausted { retry_after: rejection.retry_after })
    }

    /// Makes the outcome durable and answers; a caller is not kept waiting for a store that hangs,
    /// and never told a bare success.
    async fn commit_outcome(&self, answer: Answer, entry: JournalEntry, result: Result<Changed, Error>) {
        let mut commit = self.ports.audit.commit(entry);
        let latest = self.deadline.max(now()) + RECORD_GRACE;
        let committed = tokio::time::timeout_at(latest.into(), &mut commit).await;
        let done = match (result, committed) {
            (Ok(changed), Ok(Ok(event))) => Ok(Changed { event: Some(event), ..changed }),
            (Ok(Changed { aws_request_id, .. }), Ok(Err(_)) | Err(_)) => {
                tracing::error!(aws.request_id = %aws_request_id, "a change was made and its outcome is not in the audit log yet");
                Err(Error::OutcomeNotRecorded { aws_request_id: Some(aws_request_id) })
            }
            (Err(Error::OutcomeUnknown { source, .. }), Ok(Ok(event))) => {
                Err(Error::OutcomeUnknown { event: Some(event), source })
            }
            (Err(error), Ok(Ok(_))) => Err(error),
            (Err(error), Ok(Err(_)) | Err(_)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a change ended otherwise than in success, and that is not in the audit log yet"
                );
                Err(Error::FailureNotRecorded { error: Box::new(error) })
            }
        };
        // A caller who went away is no fault: what was done is recorded.
        drop(answer.send(done));
    }
}

/// What becomes true with a change that was made.
fn record(association: &KeyAssociation) -> Option<RecordedAssociation> {
    Some(RecordedAssociation {
        resource: association.resource.clone(),
        key: association.key.clone(),
        previous_key: association.previous_key.clone(),
        accepted: association.accepted?,
    })
}

/// How a change ends that is not repeated any more.
fn final_error(error: UpstreamError, deadline: Instant) -> Error {
    match error {
        UpstreamError::Refused { refusal, answer } => Error::Refused { refusal, answer },
        UpstreamError::RoleNotAssumable { answer } => Error::RoleNotAssumable { answer },
        UpstreamError::Conflict { answer } => Error::Conflict { answer },
        UpstreamError::Throttled { answer } => Error::Throttled { retry_after: AFTER_THROTTLE, answer },
        UpstreamError::Fault { answer } => Error::AwsUnavailable { answer: Some(answer), source: None },
        UpstreamError::NotSent(_) if now() >= deadline => Error::DeadlineBeforeAws,
        UpstreamError::NotSent(source) => Error::AwsUnavailable { answer: None, source: Some(source) },
        UpstreamError::Unanswered(source) => Error::OutcomeUnknown { event: None, source: Some(source) },
    }
}

/// The runtime's clock, which a test may hold.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What the pace needs to know of an answer.
pub(super) fn upstream_outcome<T>(result: &Result<T, UpstreamError>) -> UpstreamOutcome {
    match result {
        Err(UpstreamError::Throttled { .. }) => UpstreamOutcome::Throttled,
        Err(UpstreamError::NotSent(_) | UpstreamError::RoleNotAssumable { .. }) => UpstreamOutcome::NotSent,
        Err(UpstreamError::Unanswered(_)) => UpstreamOutcome::Unanswered,
        Ok(_)
        | Err(UpstreamError::Refused { .. } | UpstreamError::Conflict { .. } | UpstreamError::Fault { .. }) => {
            UpstreamOutcome::Counted
        }
    }
}

/// Between half and the whole of `wait`, so that callers who met do not meet again.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_of_callers_who_met_are_spread_over_half_a_wait() {
        let waits: Vec<_> = (0..1_000).map(|_| jittered(Duration::from_secs(1))).collect();
        let (min, max) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*min >= Duration::from_millis(500) && *max <= Duration::from_secs(1), "{min:?} {max:?}");
        let between = max.saturating_sub(*min);
        assert!(between > Duration::from_millis(400), "{min:?} {max:?}");
    }
}
