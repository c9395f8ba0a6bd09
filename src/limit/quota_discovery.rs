//! [`QuotaDiscovery`]: reads the quotas of each location from Service Quotas, beside the calls.
//!
//! Each location has at most one read in flight. Its values go to the upstream limiter and are valid for
//! hours; an idle location is removed.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics::counter;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::upstream_limiter::LocalUpstreamLimiter;
use crate::{
    domain::{association::Location, authorization::Access, aws::RoleArn},
    ports::{
        AwsResponse, UpstreamError,
        quotas::{QuotaDiscovery, Quotas, ServiceQuotas},
    },
};

/// The minimum time for which a result is valid. Each result gets up to a quarter more, so that the reads of
/// different locations spread out.
const TTL: Duration = Duration::from_hours(6);
/// The delay before a retry after a failure.
const RETRY_AFTER: Duration = Duration::from_mins(5);
/// The timeout of one read.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The time without calls after which a location is removed.
const IDLE: Duration = Duration::from_hours(1);
/// The maximum number of concurrent reads. Beyond it, a later call of the location starts the read.
const CONCURRENCY: usize = 4;
/// The maximum number of tracked locations. Any further location has AWS's default quotas.
const MAX_LOCATIONS: usize = 65_536;
/// The maximum number of roles per location that are remembered as denied.
const MAX_ROLES: usize = 16;

/// Reads quotas from AWS, and passes them to the upstream limiter.
#[derive(Clone)]
pub struct QuotaDiscoverer(Arc<Inner>);

struct Inner {
    aws: Arc<dyn Quotas>,
    limiter: Arc<LocalUpstreamLimiter>,
    locations: Mutex<HashMap<Location, RefreshSchedule>>,
    permits: Arc<Semaphore>,
}

/// The schedule of the reads of one location.
#[derive(Debug)]
struct RefreshSchedule {
    last_used: Instant,
    due: Instant,
    in_flight: bool,
    /// The roles that may not read quotas, and when each one is tried again.
    denied_roles: Vec<(RoleArn, Instant)>,
}

/// A read in flight; dropping it ends the read.
struct InFlightGuard {
    inner: Arc<Inner>,
    location: Location,
    _permit: OwnedSemaphorePermit,
}

// === impl QuotaDiscoverer ===

impl QuotaDiscoverer {
    /// Creates a discoverer without any quotas.
    #[must_use]
    pub fn new(aws: Arc<dyn Quotas>, limiter: Arc<LocalUpstreamLimiter>) -> Self {
        let permits = Arc::new(Semaphore::new(CONCURRENCY));
        Self(Arc::new(Inner { aws, limiter, locations: Mutex::default(), permits }))
    }

    /// Removes the locations without calls within the last hour, and their quotas.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        self.0.locations.lock().retain(|location, schedule| {
            let keep = schedule.in_flight || schedule.last_used + IDLE > now;
            if !keep {
                self.0.limiter.set_granted(location, None);
            }
            keep
        });
    }
}

#[async_trait]
impl QuotaDiscovery for QuotaDiscoverer {
    fn refresh_in_background(&self, access: &Access) {
        if let Some(guard) = self.0.begin(access, Instant::now()) {
            let access = access.clone();
            tokio::spawn(async move { guard.refresh(&access).await });
        }
    }

    async fn refresh(&self, access: &Access, deadline: std::time::Instant) -> Option<AwsResponse<()>> {
        // After a timeout here, `fetch` gets an expired deadline and fails.
        let _permit = timeout_at(deadline.into(), self.0.permits.acquire()).await;
        let AwsResponse { via, result } = self.0.aws.fetch(access, deadline).await;
        Some(AwsResponse { via, result: self.0.apply(access, result) })
    }
}

impl fmt::Debug for QuotaDiscoverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaDiscoverer")
            .field("locations", &self.0.locations.lock().len())
            .finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// Begins a read, if one is due.
    fn begin(self: &Arc<Self>, access: &Access, now: Instant) -> Option<InFlightGuard> {
        let mut locations = self.locations.lock();
        if !locations.contains_key(access.location()) {
            if locations.len() >= MAX_LOCATIONS {
                return None;
            }
            let fresh =
                RefreshSchedule { last_used: now, due: now, in_flight: false, denied_roles: Vec::new() };
            locations.insert(access.location().clone(), fresh);
        }
        let schedule = locations.get_mut(access.location())?;
        schedule.last_used = now;
        if !schedule.is_due(&access.grant().role, now) {
            return None;
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        schedule.in_flight = true;
        Some(InFlightGuard { inner: Arc::clone(self), location: access.location().clone(), _permit: permit })
    }

    /// Applies a change to the schedule of a location. Returns whether the location is tracked.
    fn update(&self, location: &Location, change: impl FnOnce(&mut RefreshSchedule)) -> bool {
        self.locations.lock().get_mut(location).map(change).is_some()
    }

    /// Applies the result of a read.
    fn apply(
        &self,
        access: &Access,
        quotas: Result<ServiceQuotas, UpstreamError>,
    ) -> Result<(), UpstreamError> {
        let now = Instant::now();
        let until = now + TTL.mul_f64(rand::random_range(1.0..1.25));
        let (location, role) = (access.location(), &access.grant().role);
        let (outcome, result) = match quotas {
            Ok(granted) => {
                tracing::debug!(aws.account = %location.account, aws.region = %location.region, ?granted, "read the quotas");
                // The quotas of an untracked location would never be removed.
                if self.update(location, |schedule| schedule.on_result(role, until)) {
                    self.limiter.set_granted(location, Some(granted));
                }
                ("read", Ok(()))
            }
            Err(UpstreamError::Refused { refusal, answer }) => {
                let mut newly_denied = false;
                self.update(location, |schedule| newly_denied = schedule.mark_denied(role, until));
                if newly_denied {
                    tracing::info!(
                        aws.account = %location.account,
                        aws.region = %location.region,
                        aws.role = %role,
                        aws.code = %answer.code,
                        "the role may not read Service Quotas: quotas without a configured value keep AWS's default"
                    );
                }
                ("refused", Err(UpstreamError::Refused { refusal, answer }))
            }
            Err(error) => {
                self.update(location, |schedule| schedule.due = schedule.due.max(now + RETRY_AFTER));
                ("failed", Err(error))
            }
        };
        counter!("logkey_service_quotas_total", "outcome" => outcome).increment(1);
        result
    }
}

// === impl RefreshSchedule ===

impl RefreshSchedule {
    fn is_due(&self, role: &RoleArn, now: Instant) -> bool {
        let is_denied = self.denied_roles.iter().any(|(it, until)| it == role && *until > now);
        !self.in_flight && self.due <= now && !is_denied
    }

    fn on_result(&mut self, role: &RoleArn, due: Instant) {
        self.due = due;
        self.denied_roles.retain(|(it, _)| it != role);
    }

    /// Records that the role may not read quotas. Returns whether the role was not yet recorded.
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

// === impl InFlightGuard ===

impl InFlightGuard {
    async fn refresh(self, access: &Access) {
        let deadline = (Instant::now() + TIMEOUT).into_std();
        let quotas = self.inner.aws.fetch(access, deadline).await;
        if let Err(error) = self.inner.apply(access, quotas.result) {
            let (location, error) = (access.location(), &error as &dyn std::error::Error);
            tracing::debug!(aws.account = %location.account, aws.region = %location.region, error, "quotas cannot be read");
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.inner.update(&self.location, |schedule| schedule.in_flight = false);
    }
}
