//! One session's life: asked for once at a time, served while it lasts, its failure remembered.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tracing::Instrument as _;

use super::Session;
use crate::aws::sts::{AssumeRole, AssumeRoleInput, AssumedSession, SessionError};

/// How long a refusal by STS is believed.
const REFUSAL_MEMORY: Duration = Duration::from_secs(5);
/// How long after any other failure STS is left alone; twice as long after each further one.
const FAILURE_MEMORY: Duration = Duration::from_millis(250);
/// How often that doubles, at most: to 8 seconds.
const MAX_DOUBLINGS: u32 = 5;

/// What everyone who waits for one `AssumeRole` gets to see.
pub(super) type SharedResult = watch::Receiver<Option<FlightResult>>;
type FlightResult = Result<Arc<Session>, Arc<SessionError>>;

/// One session and how to get it.
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

/// What there is for whoever asks.
pub(super) enum Lookup {
    /// A session that can be used.
    Session(Arc<Session>),
    /// It failed a moment ago.
    Failure(Arc<SessionError>),
    /// It is being asked for.
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
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    pub(super) fn last_used(&self) -> Instant {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, or what is known instead; asks STS where that is due and nobody does yet.
    pub(super) fn find(self: &Arc<Self>, sts: &Arc<dyn AssumeRole>) -> Lookup {
        let now = Instant::now();
        let mut slot = self.lock_state();
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

    /// Drops this session, if it is still the one kept.
    pub(super) fn forget(&self, over: &Arc<Session>) {
        let mut slot = self.lock_state();
        if slot.session.as_ref().is_some_and(|session| Arc::ptr_eq(session, over)) {
            slot.session = None;
        }
    }

    /// Asks STS apart from whoever needs it, so that one who gives up spoils nothing for the rest.
    fn start_flight(self: &Arc<Self>, sts: &Arc<dyn AssumeRole>) -> SharedResult {
        let (sender, flight) = watch::channel(None);
        let (entry, sts) = (Arc::clone(self), Arc::clone(sts));
        let asking = async move {
            let answer = sts.assume(&entry.input).await;
            let landed = entry.complete(answer);
            sender.send_replace(Some(landed));
        };
        // Its log lines are those of the call that needed it first.
        tokio::spawn(asking.in_current_span());
        flight
    }

    fn complete(&self, answer: Result<AssumedSession, SessionError>) -> FlightResult {
        let now = Instant::now();
        let AssumeRoleInput { role, name, .. } = &self.input;
        let mut slot = self.lock_state();
        slot.flight = None;
        match answer {
            Ok(granted) => {
                let session = Arc::new(Session::new(role.clone(), name.clone(), granted, now));
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
                    error = &error as &dyn std::error::Error,
                    "a role could not be assumed",
                );
                let error = Arc::new(error);
                let memory = negative_ttl(&error, slot.failures_in_a_row);
                slot.failures_in_a_row = slot.failures_in_a_row.saturating_add(1);
                slot.failure = Some((now + memory, Arc::clone(&error)));
                Err(error)
            }
        }
    }

    fn lock_state(&self) -> MutexGuard<'_, EntryState> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long this failure is believed.
fn negative_ttl(error: &SessionError, failures_before: u32) -> Duration {
    match error {
        SessionError::Refused(_) | SessionError::WrongAccount(_) => REFUSAL_MEMORY,
        SessionError::Throttled(_)
        | SessionError::Fault(_)
        | SessionError::ServiceIdentity(_)
        | SessionError::Expired
        | SessionError::Incomplete(_)
        | SessionError::Unreachable(_)
        | SessionError::TooLate => {
            let max = FAILURE_MEMORY * 2_u32.pow(failures_before.min(MAX_DOUBLINGS));
            max.mul_f64(rand::random_range(0.75..1.0))
        }
    }
}
