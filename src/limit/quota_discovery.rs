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

use super::{LocalUpstreamLimiter, lock};
use crate::{
    domain::{association::Location, authorization::Access, aws::RoleArn},
    ports::{
        AwsResponse, UpstreamError,
        quotas::{QuotaDiscovery, Quotas, ServiceQuotas},
    },
};

/// How long an answer counts, at least; up to a quarter more, so that places are not asked about
/// together again.
const TTL: Duration = Duration::from_hours(6);
/// How long after a failure AWS is asked again.
const RETRY_AFTER: Duration = Duration::from_mins(5);
/// Longest time of one reading.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a place may be at rest before it is forgotten.
const IDLE: Duration = Duration::from_hours(1);
/// Readings at once. A place that finds none free is asked about with one of its next calls.
const AT_ONCE: usize = 4;
/// Most places that are kept. Beyond, AWS's defaults hold.
const MAX_LOCATIONS: usize = 65_536;
/// Most roles of one place that are remembered as not allowed to read quotas.
const MAX_ROLES: usize = 16;

/// Asks AWS for quotas and gives them to the pace.
#[derive(Clone)]
pub struct QuotaDiscoverer(Arc<Inner>);

struct Inner {
    aws: Arc<dyn Quotas>,
    limiter: Arc<LocalUpstreamLimiter>,
    locations: Mutex<HashMap<Location, RefreshSchedule>>,
    at_once: Arc<Semaphore>,
}

/// When a place was and will be asked about.
#[derive(Debug)]
struct RefreshSchedule {
    used: Instant,
    due: Instant,
    asking: bool,
    /// Roles that may not ask, until when they are not tried again.
    denied_roles: Vec<(RoleArn, Instant)>,
}

/// A reading under way; it is over when this is dropped.
struct InFlightGuard {
    of: Arc<Inner>,
    location: Location,
    _one_of_few: OwnedSemaphorePermit,
}

// === impl QuotaLearner ===

impl QuotaDiscoverer {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(aws: Arc<dyn Quotas>, limiter: Arc<LocalUpstreamLimiter>) -> Self {
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(Inner { aws, limiter, locations: Mutex::default(), at_once }))
    }

    /// Forgets the places that nobody has called for a while.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        lock(&self.0.locations).retain(|location, schedule| {
            let is_current = schedule.asking || schedule.used + IDLE > now;
            if !is_current {
                self.0.limiter.set_granted(location, None);
            }
            is_current
        });
    }
}

#[async_trait]
impl QuotaDiscovery for QuotaDiscoverer {
    fn refresh_in_background(&self, access: &Access) {
        if let Some(asking) = self.0.begin(access, Instant::now()) {
            let access = access.clone();
            tokio::spawn(async move { asking.refresh(&access).await });
        }
    }

    async fn refresh(&self, access: &Access, deadline: std::time::Instant) -> Option<AwsResponse<()>> {
        // Whoever waits in vain asks with no time left, and is told so.
        let _one_of_few = timeout_at(deadline.into(), self.0.at_once.acquire()).await;
        let AwsResponse { via, result } = self.0.aws.fetch(access, deadline).await;
        Some(AwsResponse { via, result: self.0.apply(access, result) })
    }
}

impl fmt::Debug for QuotaDiscoverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaLearner").field("places", &lock(&self.0.locations).len()).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// A reading, if it is time for one.
    fn begin(self: &Arc<Self>, access: &Access, now: Instant) -> Option<InFlightGuard> {
        let mut locations = lock(&self.locations);
        if !locations.contains_key(access.location()) {
            if locations.len() >= MAX_LOCATIONS {
                return None;
            }
            let fresh = RefreshSchedule { used: now, due: now, asking: false, denied_roles: Vec::new() };
            locations.insert(access.location().clone(), fresh);
        }
        let schedule = locations.get_mut(access.location())?;
        schedule.used = now;
        if !schedule.is_due(&access.grant().role, now) {
            return None;
        }
        let permit = Arc::clone(&self.at_once).try_acquire_owned().ok()?;
        schedule.asking = true;
        Some(InFlightGuard { of: Arc::clone(self), location: access.location().clone(), _one_of_few: permit })
    }

    /// Whether the place is one that is kept.
    fn with(&self, location: &Location, change: impl FnOnce(&mut RefreshSchedule)) -> bool {
        lock(&self.locations).get_mut(location).map(change).is_some()
    }

    /// Has what AWS told count, and tells whether it told.
    fn apply(
        &self,
        access: &Access,
        quotas: Result<ServiceQuotas, UpstreamError>,
    ) -> Result<(), UpstreamError> {
        let now = Instant::now();
        let until = now + TTL.mul_f64(rand::random_range(1.0..1.25));
        let (location, role) = (access.location(), &access.grant().role);
        let (outcome, done) = match quotas {
            Ok(granted) => {
                tracing::debug!(aws.account = %location.account, aws.region = %location.region, ?granted, "quotas were read");
                // What is not kept would never be forgotten.
                if self.with(location, |schedule| schedule.on_result(role, until)) {
                    self.limiter.set_granted(location, Some(granted));
                }
                ("read", Ok(()))
            }
            Err(UpstreamError::Refused { refusal, answer }) => {
                let mut newly_denied = false;
                self.with(location, |schedule| newly_denied = schedule.mark_denied(role, until));
                if newly_denied {
                    tracing::info!(
                        aws.account = %location.account,
                        aws.region = %location.region,
                        aws.role = %role,
                        aws.code = %answer.code,
                        "the role may not read Service Quotas: AWS's defaults are kept where nothing is configured"
                    );
                }
                ("refused", Err(UpstreamError::Refused { refusal, answer }))
            }
            Err(error) => {
                self.with(location, |schedule| schedule.due = schedule.due.max(now + RETRY_AFTER));
                ("failed", Err(error))
            }
        };
        counter!("logkey_service_quotas_total", "outcome" => outcome).increment(1);
        done
    }
}

// === impl Asked ===

impl RefreshSchedule {
    fn is_due(&self, role: &RoleArn, now: Instant) -> bool {
        let denied_roles = self.denied_roles.iter().any(|(it, until)| it == role && *until > now);
        !self.asking && self.due <= now && !denied_roles
    }

    fn on_result(&mut self, role: &RoleArn, due: Instant) {
        self.due = due;
        self.denied_roles.retain(|(it, _)| it != role);
    }

    /// Whether that is news.
    fn mark_denied(&mut self, role: &RoleArn, until: Instant) -> bool {
        let position = self.denied_roles.iter().position(|(it, _)| it == role);
        if let Some(at) = position {
            self.denied_roles.remove(at);
        } else if self.denied_roles.len() >= MAX_ROLES {
            self.denied_roles.remove(0);
        }
        self.denied_roles.push((role.clone(), until));
        position.is_none()
    }
}

// === impl Asking ===

impl InFlightGuard {
    async fn refresh(self, access: &Access) {
        let deadline = (Instant::now() + TIMEOUT).into_std();
        let quotas = self.of.aws.fetch(access, deadline).await;
        if let Err(error) = self.of.apply(access, quotas.result) {
            let (location, error) = (access.location(), &error as &dyn std::error::Error);
            tracing::debug!(aws.account = %location.account, aws.region = %location.region, error, "quotas could not be read");
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.of.with(&self.location, |schedule| schedule.asking = false);
    }
}
