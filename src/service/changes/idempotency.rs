//! Idempotency keys (`request_id`, AIP-155): the same request gets the same answer for 24 hours, also while
//! the first is in flight and after a restart; a different request with the same key is refused. The
//! store's record counts: it begins with the intent and ends with the outcome, in the same transactions.

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
        error::Error,
        shared::{keyed_mutex::KeyGuard, resolve},
    },
};

/// How often the record is read of a request that another process handles.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How to proceed with a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// Make it; with an idempotency key, under this reservation.
    Proceed(Option<Reservation>),
    /// Answer as the first time.
    Replay(RecordedRequest),
}

/// Held while a request with an idempotency key is made.
#[derive(Debug)]
pub(super) struct Reservation {
    id: IdempotencyKey,
    fingerprint: Fingerprint,
    #[expect(dead_code, reason = "held for its drop")]
    guard: KeyGuard,
    #[expect(dead_code, reason = "held for its drop")]
    cluster_lock: RequestLock,
}

/// How the first request was answered.
#[derive(Debug)]
pub(super) struct RecordedRequest {
    pub(super) answer: Answer,
    /// The audit event that holds its outcome.
    pub(super) event: EventId,
}

// === impl Reservation ===

impl Reservation {
    /// What is stored with the intent.
    pub(super) fn started(&self, at: Timestamp, max: Duration) -> RecordedStep {
        RecordedStep::Intent {
            id: self.id.clone(),
            fingerprint: self.fingerprint.clone(),
            at,
            running_until: at.plus(max),
        }
    }
}

/// A hash of what is requested. It covers the resolved resource, so that an omitted account or Region
/// equals the one that it resolves to.
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

/// Finds out whether a request is to be made. While the reservation exists, no other request with its key
/// is made; those wait, at most until their deadline.
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
    // Boxed: few requests have a key, and the future is large.
    let claim: BoxFuture<'_, _> = Box::pin(Claim { cx, id, fingerprint }.admit());
    claim.await
}

/// A request with an idempotency key, on its way to being admitted.
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
            // A different request with this key does not have to wait for the first one's end.
            self.find_record().await?;
            locks.lock(&self.id, deadline).await.ok_or(Error::RequestInFlight)?
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
            if let Some(lock) = lock.map_err(Error::RecordUnavailable)? {
                return Ok(lock);
            }
            self.find_record().await?;
            self.wait_to_poll().await?;
        }
    }

    /// The record of the key; an error where it is of a different request.
    async fn find_record(&self) -> Result<Option<RequestRecord>, Error> {
        let ports = self.cx.ports();
        let found = ports.requests.find(&self.id, ports.clock.now()).await;
        match found.map_err(Error::RecordUnavailable)? {
            Some(record) if record.fingerprint != self.fingerprint => Err(Error::RequestIdReused),
            record => Ok(record),
        }
    }

    /// The record, once its request has ended or cannot be in flight any more: another process may handle
    /// it, or its outcome may be recorded late.
    async fn wait_for_outcome(&self) -> Result<Option<RequestRecord>, Error> {
        loop {
            let Some(record) = self.find_record().await? else { return Ok(None) };
            if record.end.is_some() || self.cx.ports().clock.now() >= record.running_until {
                return Ok(Some(record));
            }
            self.wait_to_poll().await?;
        }
    }

    /// Reads back a change that was sent and not answered; none where AWS does not have it, so that it is
    /// to be made.
    async fn reconcile(
        &self,
        intent: EventId,
        outcome: Option<EventId>,
    ) -> Result<Option<RecordedRequest>, Error> {
        let change = self.cx.ports().open.find(intent).await.map_err(Error::RecordUnavailable)?;
        let Some(change) = change else { return Ok(None) };
        match reconcile::reconcile_one(&self.cx.state, change, self.cx.call.deadline).await {
            Reconciliation::InForce { answer, event } => Ok(Some(RecordedRequest { answer, event })),
            Reconciliation::NotInForce => Ok(None),
            Reconciliation::NotNow => Err(Error::OutcomeUnknown { event: outcome, source: None }),
        }
    }

    /// Waits before the record is read again that another process is expected to write.
    async fn wait_to_poll(&self) -> Result<(), Error> {
        let next = tokio::time::Instant::now() + POLL_INTERVAL;
        if next.into_std() >= self.cx.call.deadline {
            return Err(Error::RequestInFlight);
        }
        tokio::time::sleep_until(next).await;
        Ok(())
    }
}

/// Answers as the first time, to a caller that may still read the resource. Policy is not asked about the
/// change again: nothing is changed, and the current key may be another by now.
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
