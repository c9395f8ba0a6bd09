//! One entry of the session cache: at most one `AssumeRole` call at a time, the session, and the last
//! failure.

use std::{sync::Arc, time::Duration};

use opentelemetry::context::FutureExt as _;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tracing::Instrument as _;

use super::session::Session;
use crate::{
    aws::sts::{
        assume_role::{AssumeRole, AssumeRoleInput, AssumedSession},
        session_error::SessionError,
    },
    domain::refusal::ServiceFault,
};

/// How long a refusal by STS is cached.
const REFUSAL_TTL: Duration = Duration::from_secs(5);
/// How long any other failure is cached; each further failure doubles it.
const FAILURE_TTL: Duration = Duration::from_millis(250);
/// The maximum number of doublings: up to 8 seconds.
const MAX_DOUBLINGS: u32 = 5;

/// The result of one `AssumeRole` call, shared by all callers that wait for it.
pub(super) type SharedResult = watch::Receiver<Option<FlightResult>>;
type FlightResult = Result<Arc<Session>, Arc<SessionError>>;

/// One session, and the input that requests it.
pub(super) struct Entry {
    input: AssumeRoleInput,
    slot: Mutex<EntryState>,
    last_used: Mutex<Instant>,
}

struct EntryState {
    session: Option<Arc<Session>>,
    failure: Option<(Instant, Arc<SessionError>)>,
    failures_in_a_row: u32,
    flight: Option<SharedResult>,
}

/// The result of a lookup.
pub(super) enum Lookup {
    /// A valid session.
    Session(Arc<Session>),
    /// A cached failure.
    Failure(Arc<SessionError>),
    /// An `AssumeRole` call in flight.
    Flight(SharedResult),
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(input: AssumeRoleInput, now: Instant) -> Self {
        let slot =
            Mutex::new(EntryState { session: None, failure: None, failures_in_a_row: 0, flight: None });
        Self { input, slot, last_used: Mutex::new(now) }
    }

    pub(super) fn used(&self, now: Instant) {
        *self.last_used.lock() = now;
    }

    pub(super) fn last_used(&self) -> Instant {
        *self.last_used.lock()
    }

    /// The session, the cached failure or the call in flight. Starts an `AssumeRole` call if one is due and
    /// none is in flight.
    pub(super) fn find(self: &Arc<Self>, sts: &Arc<dyn AssumeRole>) -> Lookup {
        let now = Instant::now();
        let mut slot = self.slot.lock();
        let session = slot.session.clone().filter(|session| now < session.end);
        let due = session.as_ref().is_none_or(|session| now >= session.renew);
        let failure = slot.failure.clone().filter(|(until, _)| now < *until);
        let flight = slot.flight.clone().filter(|flight| flight.has_changed().is_ok());
        match (session, flight, failure) {
            (Some(session), flight, failure) => {
                if due && flight.is_none() && failure.is_none() {
                    slot.flight = Some(self.start_flight(sts));
                }
                Lookup::Session(session)
            }
            (None, Some(flight), _) => Lookup::Flight(flight),
            (None, None, Some((_, error))) => Lookup::Failure(error),
            (None, None, None) => {
                let flight = self.start_flight(sts);
                slot.flight = Some(flight.clone());
                Lookup::Flight(flight)
            }
        }
    }

    /// Removes this session, unless a newer one replaced it.
    pub(super) fn forget(&self, expired: &Arc<Session>) {
        let mut slot = self.slot.lock();
        if slot.session.as_ref().is_some_and(|session| Arc::ptr_eq(session, expired)) {
            slot.session = None;
        }
    }

    /// Calls STS in a separate task, so that a caller that gives up does not cancel the call for the others.
    fn start_flight(self: &Arc<Self>, sts: &Arc<dyn AssumeRole>) -> SharedResult {
        let (sender, flight) = watch::channel(None);
        let (entry, sts) = (Arc::clone(self), Arc::clone(sts));
        let request = async move {
            let answer = sts.assume(&entry.input).await;
            let landed = entry.complete(answer);
            sender.send_replace(Some(landed));
        };
        // Its log lines and its call to STS belong to the call that started it.
        tokio::spawn(request.in_current_span().with_current_context());
        flight
    }

    fn complete(&self, answer: Result<AssumedSession, SessionError>) -> FlightResult {
        let now = Instant::now();
        let AssumeRoleInput { role, name, .. } = &self.input;
        let mut slot = self.slot.lock();
        slot.flight = None;
        match answer {
            Ok(assumed) => {
                let session = Arc::new(Session::new(role.clone(), name.clone(), assumed, now));
                slot.session = Some(Arc::clone(&session));
                slot.failure = None;
                slot.failures_in_a_row = 0;
                Ok(session)
            }
            Err(error) => {
                tracing::warn!(
                    tenant = %self.input.tenant,
                    aws.role = %role,
                    aws.code = error.code(),
                    cause = error.service_fault().map(ServiceFault::as_str),
                    remedy = error.service_fault().map(ServiceFault::remedy),
                    error = &error as &dyn std::error::Error,
                    "a role cannot be assumed",
                );
                let error = Arc::new(error);
                let ttl = negative_ttl(&error, slot.failures_in_a_row);
                slot.failures_in_a_row = slot.failures_in_a_row.saturating_add(1);
                slot.failure = Some((now + ttl, Arc::clone(&error)));
                Err(error)
            }
        }
    }
}

/// How long this failure is cached.
fn negative_ttl(error: &SessionError, failures_before: u32) -> Duration {
    match error {
        SessionError::Refused { .. } | SessionError::WrongAccount(_) => REFUSAL_TTL,
        SessionError::Throttled(_)
        | SessionError::Fault(_)
        | SessionError::Misconfigured { .. }
        | SessionError::NoCredentials { .. }
        | SessionError::Expired
        | SessionError::Incomplete(_)
        | SessionError::Unreachable(_)
        | SessionError::TooLate => {
            let max = FAILURE_TTL * 2_u32.pow(failures_before.min(MAX_DOUBLINGS));
            max.mul_f64(rand::random_range(0.75..1.0))
        }
    }
}
