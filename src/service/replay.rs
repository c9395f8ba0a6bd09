//! Requests that came with an id of their own: the same request is answered as it was the first time,
//! also while that is under way and after a restart, and another one under the same id is refused.
//!
//! The store's record is what counts. It is begun with the intent and ended with the outcome, so that
//! there is no moment at which one is known and the other is not.

pub(super) mod told;

use std::{future::Future, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{Changed, Error, KeyBroker, locate, serial::Held, settle::Settled, trail::Trail};
use crate::{
    domain::{
        ask::ExpectedKey,
        association::{GetKeyAssociation, Reason, Resource},
        audit::EventId,
        call::{Action, Call},
        principal::Principal,
        request::{Answer, Fingerprint, KeptRequest, OwnId, RequestEnd, RequestStep},
        tenant::Tenant,
        time::Timestamp,
    },
    ports::HeldRequest,
};

/// How often the record of a request is looked at that another process has under way.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is to be made; with an id of its own, under this claim.
    Make(Option<Claimed>),
    /// It was answered before, and is to be answered in the same way.
    Repeat(Before),
}

/// Held while a request with an id of its own is made.
#[derive(Debug)]
pub(super) struct Claimed {
    id: OwnId,
    fingerprint: Fingerprint,
    #[expect(dead_code, reason = "held for its drop")]
    held: Held,
    #[expect(dead_code, reason = "held for its drop")]
    among_processes: HeldRequest,
}

/// How a request was answered before.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) answer: Answer,
    /// The event that holds its outcome.
    pub(super) event: EventId,
}

// === impl Claimed ===

impl Claimed {
    /// What is kept with the intent.
    pub(super) fn begun(&self, at: Timestamp, longest: Duration) -> RequestStep {
        RequestStep::Begun {
            id: self.id.clone(),
            fingerprint: self.fingerprint.clone(),
            at,
            running_until: at.plus(longest),
        }
    }
}

/// What was asked for, as a hash: of what is meant, so that a place that was left out is the one found.
pub(super) fn fingerprint(
    action: Action,
    resource: &Resource,
    key: Option<&str>,
    reason: Option<&Reason>,
    expected: Option<&ExpectedKey>,
) -> Fingerprint {
    #[derive(Serialize)]
    struct Asked<'a>(&'a str, String, Option<&'a str>, Option<&'a str>, Option<String>);
    let expected = expected.map(|expected| match expected {
        ExpectedKey::Nothing => String::new(),
        ExpectedKey::Key(key) => key.to_string(),
    });
    let asked = Asked(action.as_str(), resource.to_string(), key, reason.map(Reason::as_str), expected);
    let text = serde_json::to_vec(&asked).unwrap_or_default();
    Fingerprint(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &text)).into())
}

impl KeyBroker {
    /// Finds out whether a request is to be made. Whoever may make it is the only one until the claim
    /// is dropped; everyone else waits, at most until their deadline.
    pub(super) async fn claim(
        &self,
        call: &Call,
        id: OwnId,
        fingerprint: Fingerprint,
    ) -> Result<Claim, Error> {
        let held = if let Some(held) = self.requests.try_hold(&id) {
            held
        } else {
            // Another request under this id need not wait for the first one's end.
            self.kept(&id, &fingerprint).await?;
            self.requests.hold(&id, call.deadline).await.ok_or(Error::StillRunning)?
        };
        let among_processes = self.hold_among_processes(call, &id, &fingerprint).await?;
        let make = |held| {
            let (id, fingerprint) = (id.clone(), fingerprint.clone());
            Claim::Make(Some(Claimed { id, fingerprint, held, among_processes }))
        };
        let Some(kept) = self.ended(call, &id, &fingerprint).await? else { return Ok(make(held)) };
        match (&kept.end, kept.outcome) {
            (Some(RequestEnd::Done(answer) | RequestEnd::Refused(answer)), Some(event)) => {
                Ok(Claim::Repeat(Before { answer: answer.clone(), event }))
            }
            (Some(RequestEnd::Unknown) | None, _) => match self.settle_first(call, &kept).await? {
                Some(before) => Ok(Claim::Repeat(before)),
                None => Ok(make(held)),
            },
            (Some(RequestEnd::Open | RequestEnd::Done(_) | RequestEnd::Refused(_)), _) => Ok(make(held)),
        }
    }

    /// Waits until no other process has the request, at most until the deadline; another request under this id
    /// need not wait.
    async fn hold_among_processes(
        &self,
        call: &Call,
        id: &OwnId,
        fingerprint: &Fingerprint,
    ) -> Result<HeldRequest, Error> {
        loop {
            if let Some(held) = self.ports.requests.hold(id).await.map_err(Error::RecordUnavailable)? {
                return Ok(held);
            }
            self.kept(id, fingerprint).await?;
            look_again(call).await?;
        }
    }

    /// Answers as the first time, whoever may still see the target: nothing is changed by it, so that
    /// policy is not asked for the change again, with another key before it.
    pub(super) fn repeat(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        resource: &Resource,
        before: &Before,
        mut trail: Trail,
    ) -> Result<Changed, Error> {
        let mut again = || {
            let told = told::read(&before.answer)?;
            if let Some(key) = told.key() {
                trail.resolved(&key);
            }
            let look = GetKeyAssociation { resource: resource.clone() };
            self.permit(call, who, tenant, look, &mut trail)?;
            told.again(resource.clone(), before.event)
        };
        let result = again();
        self.repeated(resource, before.event, result, &trail)
    }

    /// Records that a request was answered as the first time.
    fn repeated(
        &self,
        resource: &Resource,
        event: EventId,
        result: Result<Changed, Error>,
        trail: &Trail,
    ) -> Result<Changed, Error> {
        let result = match result {
            Err(Error::Repeated { error, event }) => {
                Err(Error::Repeated { error: Box::new(locate::absent(*error, resource)), event })
            }
            result => result,
        };
        match &result {
            Ok(_) | Err(Error::Repeated { .. }) => {
                trail.repeated(&self.ports, event, result.as_ref().err());
            }
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    /// What is remembered of the request, unless it was another one.
    async fn kept(&self, id: &OwnId, fingerprint: &Fingerprint) -> Result<Option<KeptRequest>, Error> {
        let found = self.ports.requests.find(id, self.ports.clock.now()).await;
        match found.map_err(Error::RecordUnavailable)? {
            Some(kept) if kept.fingerprint != *fingerprint => Err(Error::RequestIdReused),
            kept => Ok(kept),
        }
    }

    /// The same, once it has ended or cannot be under way any more: another process may have it, or
    /// its record may be late.
    async fn ended(
        &self,
        call: &Call,
        id: &OwnId,
        fingerprint: &Fingerprint,
    ) -> Result<Option<KeptRequest>, Error> {
        loop {
            let Some(kept) = self.kept(id, fingerprint).await? else { return Ok(None) };
            if kept.end.is_some() || self.ports.clock.now() >= kept.running_until {
                return Ok(Some(kept));
            }
            look_again(call).await?;
        }
    }

    /// Reads back what became of a request that was sent and not answered; none where it is not in
    /// force, so that it is to be made.
    async fn settle_first(&self, call: &Call, kept: &KeptRequest) -> Result<Option<Before>, Error> {
        let change = self.ports.open.begun(kept.intent).await.map_err(Error::RecordUnavailable)?;
        let Some(change) = change else { return Ok(None) };
        match self.settle_one(change, call.deadline).await {
            Settled::InForce { answer, event } => Ok(Some(Before { answer, event })),
            Settled::NotInForce => Ok(None),
            Settled::NotNow => Err(Error::OutcomeUnknown { event: kept.outcome, source: None }),
        }
    }
}

/// Waits until it is looked again at what another process has under way.
async fn look_again(call: &Call) -> Result<(), Error> {
    let next = tokio::time::Instant::now() + LOOK_EVERY;
    if next.into_std() >= call.deadline {
        return Err(Error::StillRunning);
    }
    tokio::time::sleep_until(next).await;
    Ok(())
}

/// Boxed, since few calls take this way and its future is large.
pub(super) fn seldom<'f, T>(
    future: impl Future<Output = T> + Send + 'f,
) -> futures_util::future::BoxFuture<'f, T> {
    Box::pin(future)
}
