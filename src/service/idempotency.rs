//! Requests that came with an id of their own: the same request is answered as it was the first time,
//! also while that is under way and after a restart, and another one under the same id is refused.
//!
//! The store's record is what counts. It is begun with the intent and ended with the outcome, so that
//! there is no moment at which one is known and the other is not.

pub(super) mod recorded_response;

use std::{future::Future, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{
    Changed, Error, KeyBroker, audit_context::AuditContext, keyed_mutex::KeyGuard, reconcile::Reconciliation,
    resolve,
};
use crate::{
    domain::{
        association::{GetKeyAssociation, Justification, Resource},
        audit::EventId,
        call::{Action, Call},
        idempotency::{Answer, Fingerprint, IdempotencyKey, RecordedStep, RequestOutcome, RequestRecord},
        principal::Principal,
        request::ExpectedKey,
        tenant::Tenant,
        time::Timestamp,
    },
    ports::RequestLock,
};

/// How often the record of a request is looked at that another process has under way.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is to be made; with an id of its own, under this claim.
    Make(Option<Reservation>),
    /// It was answered before, and is to be answered in the same way.
    Repeat(RecordedRequest),
}

/// Held while a request with an id of its own is made.
#[derive(Debug)]
pub(super) struct Reservation {
    id: IdempotencyKey,
    fingerprint: Fingerprint,
    #[expect(dead_code, reason = "held for its drop")]
    guard: KeyGuard,
    #[expect(dead_code, reason = "held for its drop")]
    cluster_lock: RequestLock,
}

/// How a request was answered before.
#[derive(Debug)]
pub(super) struct RecordedRequest {
    pub(super) answer: Answer,
    /// The event that holds its outcome.
    pub(super) event: EventId,
}

// === impl Claimed ===

impl Reservation {
    /// What is kept with the intent.
    pub(super) fn started(&self, at: Timestamp, max: Duration) -> RecordedStep {
        RecordedStep::Intent {
            id: self.id.clone(),
            fingerprint: self.fingerprint.clone(),
            at,
            running_until: at.plus(max),
        }
    }
}

/// What was asked for, as a hash: of what is meant, so that a place that was left out is the one found.
pub(super) fn fingerprint(
    action: Action,
    resource: &Resource,
    key: Option<&str>,
    reason: Option<&Justification>,
    expected: Option<&ExpectedKey>,
) -> Fingerprint {
    #[derive(Serialize)]
    struct FingerprintInput<'a>(&'a str, String, Option<&'a str>, Option<&'a str>, Option<String>);
    let expected = expected.map(|expected| match expected {
        ExpectedKey::Nothing => String::new(),
        ExpectedKey::Key(key) => key.to_string(),
    });
    let fingerprint = FingerprintInput(
        action.as_str(),
        resource.to_string(),
        key,
        reason.map(Justification::as_str),
        expected,
    );
    let text = serde_json::to_vec(&fingerprint).unwrap_or_default();
    Fingerprint(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &text)).into())
}

impl KeyBroker {
    /// Finds out whether a request is to be made. Whoever may make it is the only one until the claim
    /// is dropped; everyone else waits, at most until their deadline.
    pub(super) async fn claim(
        &self,
        call: &Call,
        id: IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Result<Admission, Error> {
        let guard = if let Some(guard) = self.requests.try_lock(&id) {
            guard
        } else {
            // Another request under this id need not wait for the first one's end.
            self.find_record(&id, &fingerprint).await?;
            self.requests.lock(&id, call.deadline).await.ok_or(Error::RequestInFlight)?
        };
        let among_processes = self.lock_in_cluster(call, &id, &fingerprint).await?;
        let make = |guard| {
            let (id, fingerprint) = (id.clone(), fingerprint.clone());
            Admission::Make(Some(Reservation { id, fingerprint, guard, cluster_lock: among_processes }))
        };
        let Some(record) = self.wait_for_outcome(call, &id, &fingerprint).await? else {
            return Ok(make(guard));
        };
        match (&record.end, record.outcome) {
            (Some(RequestOutcome::Completed(answer) | RequestOutcome::Refused(answer)), Some(event)) => {
                Ok(Admission::Repeat(RecordedRequest { answer: answer.clone(), event }))
            }
            (Some(RequestOutcome::Unknown) | None, _) => match self.reconcile_first(call, &record).await? {
                Some(recorded) => Ok(Admission::Repeat(recorded)),
                None => Ok(make(guard)),
            },
            (Some(RequestOutcome::Open | RequestOutcome::Completed(_) | RequestOutcome::Refused(_)), _) => {
                Ok(make(guard))
            }
        }
    }

    /// Waits until no other process has the request, at most until the deadline; another request under this id
    /// need not wait.
    async fn lock_in_cluster(
        &self,
        call: &Call,
        id: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<RequestLock, Error> {
        loop {
            if let Some(guard) = self.ports.requests.lock(id).await.map_err(Error::RecordUnavailable)? {
                return Ok(guard);
            }
            self.find_record(id, fingerprint).await?;
            poll_record(call).await?;
        }
    }

    /// Answers as the first time, whoever may still see the target: nothing is changed by it, so that
    /// policy is not asked for the change again, with another key before it.
    pub(super) fn replay(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        resource: &Resource,
        recorded: &RecordedRequest,
        mut audit: AuditContext,
    ) -> Result<Changed, Error> {
        let mut replay_recorded = || {
            let response = recorded_response::read(&recorded.answer)?;
            if let Some(key) = response.key() {
                audit.resolved(&key);
            }
            let read = GetKeyAssociation { resource: resource.clone() };
            self.authorize(call, principal, tenant, read, &mut audit)?;
            response.restore(resource.clone(), recorded.event)
        };
        let result = replay_recorded();
        self.replay_of(resource, recorded.event, result, &audit)
    }

    /// Records that a request was answered as the first time.
    fn replay_of(
        &self,
        resource: &Resource,
        event: EventId,
        result: Result<Changed, Error>,
        audit: &AuditContext,
    ) -> Result<Changed, Error> {
        let result = match result {
            Err(Error::ReplayedFailure { error, event }) => Err(Error::ReplayedFailure {
                error: Box::new(resolve::mask_as_not_found(*error, resource)),
                event,
            }),
            result => result,
        };
        match &result {
            Ok(_) | Err(Error::ReplayedFailure { .. }) => {
                audit.record_replay(&self.ports, event, result.as_ref().err());
            }
            Err(error) => audit.record_refusal(&self.ports, error),
        }
        result
    }

    /// What is remembered of the request, unless it was another one.
    async fn find_record(
        &self,
        id: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<RequestRecord>, Error> {
        let found = self.ports.requests.find(id, self.ports.clock.now()).await;
        match found.map_err(Error::RecordUnavailable)? {
            Some(record) if record.fingerprint != *fingerprint => Err(Error::RequestIdReused),
            record => Ok(record),
        }
    }

    /// The same, once it has ended or cannot be under way any more: another process may have it, or
    /// its record may be late.
    async fn wait_for_outcome(
        &self,
        call: &Call,
        id: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<RequestRecord>, Error> {
        loop {
            let Some(record) = self.find_record(id, fingerprint).await? else { return Ok(None) };
            if record.end.is_some() || self.ports.clock.now() >= record.running_until {
                return Ok(Some(record));
            }
            poll_record(call).await?;
        }
    }

    /// Reads back what became of a request that was sent and not answered; none where it is not in
    /// force, so that it is to be made.
    async fn reconcile_first(
        &self,
        call: &Call,
        record: &RequestRecord,
    ) -> Result<Option<RecordedRequest>, Error> {
        let change = self.ports.open.find(record.intent).await.map_err(Error::RecordUnavailable)?;
        let Some(change) = change else { return Ok(None) };
        match self.reconcile_one(change, call.deadline).await {
            Reconciliation::InForce { answer, event } => Ok(Some(RecordedRequest { answer, event })),
            Reconciliation::NotInForce => Ok(None),
            Reconciliation::NotNow => Err(Error::OutcomeUnknown { event: record.outcome, source: None }),
        }
    }
}

/// Waits until it is looked again at what another process has under way.
async fn poll_record(call: &Call) -> Result<(), Error> {
    let next = tokio::time::Instant::now() + POLL_INTERVAL;
    if next.into_std() >= call.deadline {
        return Err(Error::RequestInFlight);
    }
    tokio::time::sleep_until(next).await;
    Ok(())
}

/// Boxed, since few calls take this way and its future is large.
pub(super) fn boxed<'f, T>(
    future: impl Future<Output = T> + Send + 'f,
) -> futures_util::future::BoxFuture<'f, T> {
    Box::pin(future)
}
