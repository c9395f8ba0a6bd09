//! [`LearnQuotas`] beside the calls: each place is asked about once at a time, what it tells goes to
//! the pace and counts for hours, and a place that nobody calls is forgotten.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use metrics::counter;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{LocalPace, locked};
use crate::{
    domain::{association::Place, authorization::Access, aws::RoleArn},
    ports::{
        Answered, UpstreamError,
        quotas::{Granted, LearnQuotas, Quotas},
    },
};

/// How long an answer counts, at least; up to a quarter more, so that places are not asked about
/// together again.
const REMEMBERED: Duration = Duration::from_hours(6);
/// How long after a failure AWS is asked again.
const AGAIN: Duration = Duration::from_mins(5);
/// Longest time of one reading.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a place may be at rest before it is forgotten.
const IDLE: Duration = Duration::from_hours(1);
/// Readings at once. A place that finds none free is asked about with one of its next calls.
const AT_ONCE: usize = 4;
/// Most places that are kept. Beyond, AWS's defaults hold.
const MOST_PLACES: usize = 65_536;
/// Most roles of one place that are remembered as not allowed to read quotas.
const MOST_ROLES: usize = 16;

/// Asks AWS for quotas and gives them to the pace.
#[derive(Clone)]
pub struct QuotaLearner(Arc<Inner>);

struct Inner {
    aws: Arc<dyn Quotas>,
    pace: Arc<LocalPace>,
    places: Mutex<HashMap<Place, Asked>>,
    at_once: Arc<Semaphore>,
}

/// When a place was and will be asked about.
#[derive(Debug)]
struct Asked {
    used: Instant,
    due: Instant,
    asking: bool,
    /// Roles that may not ask, until when they are not tried again.
    refused: Vec<(RoleArn, Instant)>,
}

/// A reading under way; it is over when this is dropped.
struct Asking {
    of: Arc<Inner>,
    place: Place,
    _one_of_few: OwnedSemaphorePermit,
}

// === impl QuotaLearner ===

impl QuotaLearner {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(aws: Arc<dyn Quotas>, pace: Arc<LocalPace>) -> Self {
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(Inner { aws, pace, places: Mutex::default(), at_once }))
    }

    /// Forgets the places that nobody has called for a while.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        locked(&self.0.places).retain(|place, asked| {
            let kept = asked.asking || asked.used + IDLE > now;
            if !kept {
                self.0.pace.set_granted(place, None);
            }
            kept
        });
    }
}

#[async_trait]
impl LearnQuotas for QuotaLearner {
    fn learn(&self, access: &Access) {
        if let Some(asking) = self.0.begin(access, Instant::now()) {
            let access = access.clone();
            tokio::spawn(async move { asking.ask(&access).await });
        }
    }

    async fn learn_now(&self, access: &Access, deadline: std::time::Instant) -> Option<Answered<()>> {
        // Whoever waits in vain asks with no time left, and is told so.
        let _one_of_few = timeout_at(deadline.into(), self.0.at_once.acquire()).await;
        let Answered { via, result } = self.0.aws.granted(access, deadline).await;
        Some(Answered { via, result: self.0.take_in(access, result) })
    }
}

impl fmt::Debug for QuotaLearner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaLearner").field("places", &locked(&self.0.places).len()).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// A reading, if it is time for one.
    fn begin(self: &Arc<Self>, access: &Access, now: Instant) -> Option<Asking> {
        let mut places = locked(&self.places);
        if !places.contains_key(access.place()) {
            if places.len() >= MOST_PLACES {
                return None;
            }
            let fresh = Asked { used: now, due: now, asking: false, refused: Vec::new() };
            places.insert(access.place().clone(), fresh);
        }
        let asked = places.get_mut(access.place())?;
        asked.used = now;
        if !asked.is_due(&access.grant().role, now) {
            return None;
        }
        let permit = Arc::clone(&self.at_once).try_acquire_owned().ok()?;
        asked.asking = true;
        Some(Asking { of: Arc::clone(self), place: access.place().clone(), _one_of_few: permit })
    }

    /// Whether the place is one that is kept.
    fn with(&self, place: &Place, change: impl FnOnce(&mut Asked)) -> bool {
        locked(&self.places).get_mut(place).map(change).is_some()
    }

    /// Has what AWS told count, and tells whether it told.
    fn take_in(&self, access: &Access, told: Result<Granted, UpstreamError>) -> Result<(), UpstreamError> {
        let now = Instant::now();
        let remembered = now + REMEMBERED.mul_f64(rand::random_range(1.0..1.25));
        let (place, role) = (access.place(), &access.grant().role);
        let (outcome, done) = match told {
            Ok(granted) => {
                tracing::debug!(aws.account = %place.account, aws.region = %place.region, ?granted, "quotas were read");
                // What is not kept would never be forgotten.
                if self.with(place, |asked| asked.answered(role, remembered)) {
                    self.pace.set_granted(place, Some(granted));
                }
                ("read", Ok(()))
            }
            Err(UpstreamError::Refused { refusal, answer }) => {
                let mut news = false;
                self.with(place, |asked| news = asked.refuse(role, remembered));
                if news {
                    tracing::info!(
                        aws.account = %place.account,
                        aws.region = %place.region,
                        aws.role = %role,
                        aws.code = %answer.code,
                        "the role may not read Service Quotas: AWS's defaults are kept where nothing is configured"
                    );
                }
                ("refused", Err(UpstreamError::Refused { refusal, answer }))
            }
            Err(error) => {
                self.with(place, |asked| asked.due = asked.due.max(now + AGAIN));
                ("failed", Err(error))
            }
        };
        counter!("logkey_service_quotas_total", "outcome" => outcome).increment(1);
        done
    }
}

// === impl Asked ===

impl Asked {
    fn is_due(&self, role: &RoleArn, now: Instant) -> bool {
        let refused = self.refused.iter().any(|(it, until)| it == role && *until > now);
        !self.asking && self.due <= now && !refused
    }

    fn answered(&mut self, role: &RoleArn, due: Instant) {
        self.due = due;
        self.refused.retain(|(it, _)| it != role);
    }

    /// Whether that is news.
    fn refuse(&mut self, role: &RoleArn, until: Instant) -> bool {
        let known = self.refused.iter().position(|(it, _)| it == role);
        if let Some(at) = known {
            self.refused.remove(at);
        } else if self.refused.len() >= MOST_ROLES {
            self.refused.remove(0);
        }
        self.refused.push((role.clone(), until));
        known.is_none()
    }
}

// === impl Asking ===

impl Asking {
    async fn ask(self, access: &Access) {
        let deadline = (Instant::now() + PATIENCE).into_std();
        let told = self.of.aws.granted(access, deadline).await;
        if let Err(error) = self.of.take_in(access, told.result) {
            let (place, error) = (access.place(), &error as &dyn std::error::Error);
            tracing::debug!(aws.account = %place.account, aws.region = %place.region, error, "quotas could not be read");
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.of.with(&self.place, |asked| asked.asking = false);
    }
}
