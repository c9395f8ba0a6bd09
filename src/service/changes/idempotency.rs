//! Idempotency keys (`request_id`, <https://google.aip.dev/155>): for 24 hours the same request gets the
//! recorded response, and a different request with the same key is rejected. This also holds while the
//! first request is in flight and after a restart, because the store commits the record of the request in
//! the same transactions as the intent and the outcome.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{
    change::{ChangeRequest, KeyChange},
    changed::Changed,
    reconcile::{self, Reconciliation},
    recorded_response,
};
use crate::{
    domain::{
        arn::KmsKeyId,
        association::{GetKeyAssociation, Justification, Resource},
        audit::EventId,
        call::Action,
        idempotency::{Answer, Fingerprint, IdempotencyKey, RecordedStep, RequestOutcome, RequestRecord},
        request::ExpectedKey,
        time::Timestamp,
    },
    ports::RequestLock,
    service::{
        context::Context,
        error::{ChangeError, Error, StorageError},
        shared::{keyed_mutex::KeyGuard, resolve},
    },
};

/// The interval between reads of the record while another process handles the request.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How to proceed with a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// Make the change. The reservation exists if the request has an idempotency key.
    Proceed(Option<Reservation>),
    /// Replay the recorded response.
    Replay(RecordedRequest),
}

/// The exclusive right to make the change of a request with an idempotency key.
#[derive(Debug)]
pub(super) struct Reservation {
    id: IdempotencyKey,
    fingerprint: Fingerprint,
    #[expect(dead_code, reason = "held for its drop")]
    guard: KeyGuard,
    #[expect(dead_code, reason = "held for its drop")]
    cluster_lock: RequestLock,
}

/// The recorded response to the first request.
#[derive(Debug)]
pub(super) struct RecordedRequest {
    pub(super) answer: Answer,
    /// The audit event with the outcome of the first request.
    pub(super) event: EventId,
}

// === impl Reservation ===

impl Reservation {
    /// The step that is stored with the intent. The change runs for at most `max` from `at`.
    pub(super) fn started(&self, at: Timestamp, max: Duration) -> RecordedStep {
        RecordedStep::Intent {
            id: self.id.clone(),
            fingerprint: self.fingerprint.clone(),
            at,
            running_until: at.plus(max),
        }
    }
}

/// The hash of what the request asks for. It covers the resolved resource, so that an omitted account or
/// Region equals the resolved one.
fn fingerprint(
    action: Action,
    resource: &Resource,
    key: Option<&KmsKeyId>,
    request: &ChangeRequest,
) -> Fingerprint {
    #[derive(Serialize)]
    struct Input<'a>(&'a str, String, Option<String>, Option<&'a str>, Option<String>);
    let expected = request.expected.as_ref().map(|expected| match expected {
        ExpectedKey::Nothing => String::new(),
        ExpectedKey::Key(key) => key.to_string(),
    });
    let reason = request.reason.as_ref().map(Justification::as_str);
    let input = Input(action.as_str(), resource.to_string(), key.map(ToString::to_string), reason, expected);
    let text = serde_json::to_vec(&input).unwrap_or_default();
    Fingerprint(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &text)).into())
}

/// Decides whether to make the change or to replay a response. While the reservation exists, no other
/// request with the same key proceeds. Such requests wait, at most until their deadline.
pub(super) async fn claim<K: KeyChange>(
    cx: &mut Context,
    change: &K,
    request: &ChangeRequest,
    resource: &Resource,
) -> Result<Admission, Error> {
    let Some(id) = request.request_id.filter(|_| !request.validate_only) else {
        return Ok(Admission::Proceed(None));
    };
    let id = IdempotencyKey { tenant: cx.tenant()?.id.clone(), id };
    let fingerprint = fingerprint(K::ACTION, resource, change.requested_key(), request);
    // Boxed, because few requests have a key and the future is large.
    let claim: BoxFuture<'_, _> = Box::pin(Claim { cx, id, fingerprint }.admit());
    claim.await
}

/// A request with an idempotency key that is not admitted yet.
struct Claim<'c> {
    cx: &'c Context,
    id: IdempotencyKey,
    fingerprint: Fingerprint,
}

impl Claim<'_> {
    async fn admit(self) -> Result<Admission, Error> {
        let deadline = self.cx.call.deadline;
        let locks = &self.cx.state.request_locks;
        let guard = if let Some(guard) = locks.try_lock(&self.id) {
            guard
        } else {
            // A different request with this key fails here, without waiting for the first one.
            self.find_record().await?;
            locks.lock(&self.id, deadline).await.ok_or(Error::Change(ChangeError::RequestInFlight))?
        };
        let cluster_lock = self.lock_in_cluster().await?;
        let replay = match self.wait_for_outcome().await? {
            None => None,
            Some(record) => match (record.end, record.outcome) {
                (Some(RequestOutcome::Completed(answer) | RequestOutcome::Refused(answer)), Some(event)) => {
                    Some(RecordedRequest { answer, event })
                }
                (Some(RequestOutcome::Unknown) | None, outcome) => {
                    self.reconcile(record.intent, outcome).await?
                }
                (Some(_), _) => None,
            },
        };
        let Self { id, fingerprint, .. } = self;
        Ok(match replay {
            Some(recorded) => Admission::Replay(recorded),
            None => Admission::Proceed(Some(Reservation { id, fingerprint, guard, cluster_lock })),
        })
    }

    /// Waits until no other process handles a request with this key, at most until the deadline.
    async fn lock_in_cluster(&self) -> Result<RequestLock, Error> {
        loop {
            let lock = self.cx.ports().requests.lock(&self.id).await;
            if let Some(lock) = lock.map_err(StorageError::RecordUnavailable)? {
                return Ok(lock);
            }
            self.find_record().await?;
            self.wait_to_poll().await?;
        }
    }

    /// The record of the key. An error if the record belongs to a different request.
    async fn find_record(&self) -> Result<Option<RequestRecord>, Error> {
        let ports = self.cx.ports();
        let found = ports.requests.find(&self.id, ports.clock.now()).await;
        match found.map_err(StorageError::RecordUnavailable)? {
            Some(record) if record.fingerprint != self.fingerprint => {
                Err(Error::Change(ChangeError::RequestIdReused))
            }
            record => Ok(record),
        }
    }

    /// Returns the record when its request has ended or can no longer be in flight. Another process may
    /// handle the request, or its outcome may be recorded late.
    async fn wait_for_outcome(&self) -> Result<Option<RequestRecord>, Error> {
        loop {
            let Some(record) = self.find_record().await? else { return Ok(None) };
            if record.end.is_some() || self.cx.ports().clock.now() >= record.running_until {
                return Ok(Some(record));
            }
            self.wait_to_poll().await?;
        }
    }

    /// Reads back a change that was sent but not answered. `None` if AWS does not have the change, so that
    /// this request has to make it.
    async fn reconcile(
        &self,
        intent: EventId,
        outcome: Option<EventId>,
    ) -> Result<Option<RecordedRequest>, Error> {
        let change = self.cx.ports().open.find(intent).await.map_err(StorageError::RecordUnavailable)?;
        let Some(change) = change else { return Ok(None) };
        match reconcile::reconcile_one(&self.cx.state, change, self.cx.call.deadline).await {
            Reconciliation::Effective { answer, event } => Ok(Some(RecordedRequest { answer, event })),
            Reconciliation::NotEffective => Ok(None),
            Reconciliation::NotNow => {
                Err(Error::Change(ChangeError::OutcomeUnknown { event: outcome, source: None }))
            }
        }
    }

    /// Waits before the next read of a record that another process has to write.
    async fn wait_to_poll(&self) -> Result<(), Error> {
        let next = tokio::time::Instant::now() + POLL_INTERVAL;
        if next.into_std() >= self.cx.call.deadline {
            return Err(Error::Change(ChangeError::RequestInFlight));
        }
        tokio::time::sleep_until(next).await;
        Ok(())
    }
}

/// Replays the recorded response, if the caller may still read the resource. Policy does not decide about
/// the change again: a replay changes nothing, and the current key may differ from the prior one by now.
pub(super) fn replay(
    mut cx: Context,
    resource: &Resource,
    recorded: &RecordedRequest,
) -> Result<Changed, Error> {
    let result = match restore(&mut cx, resource, recorded) {
        Err(Error::ReplayedFailure { error, event }) => {
            let error = Box::new(resolve::mask_as_not_found(*error, resource));
            Err(Error::ReplayedFailure { error, event })
        }
        result => result,
    };
    match &result {
        Ok(_) | Err(Error::ReplayedFailure { .. }) => {
            cx.audit.record_replay(cx.ports(), recorded.event, result.as_ref().err());
        }
        Err(error) => cx.record_refusal(error),
    }
    result
}

fn restore(cx: &mut Context, resource: &Resource, recorded: &RecordedRequest) -> Result<Changed, Error> {
    let response = recorded_response::read(&recorded.answer)?;
    if let Some(key) = response.key() {
        cx.audit.resolved(&key);
    }
    cx.authorize(GetKeyAssociation { resource: resource.clone() })?;
    response.restore(resource.clone(), recorded.event)
}
