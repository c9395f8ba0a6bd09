//! The tenant quota and the upstream limiter: how many calls tenants may make, and how many the service sends
//! to AWS.

use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::{
    association::Location,
    tenant::{Tenant, TenantId},
};

/// Enforces the tenant quotas.
#[async_trait]
pub trait TenantQuota: Send + Sync + 'static {
    /// Takes one call from the tenant's rate, and one of its calls in flight.
    ///
    /// # Errors
    ///
    /// [`OverQuota`] with the wait after which a repetition can succeed.
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota>;

    /// The current state of the quota. This takes nothing.
    fn state(&self, tenant: &Tenant) -> QuotaState;
}

/// Issues permits for calls to AWS, so that they stay within the quotas of the accounts.
#[async_trait]
pub trait UpstreamLimiter: Send + Sync + 'static {
    /// Waits for a permit, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] as soon as it is known that no permit becomes available in time.
    async fn acquire(
        &self,
        quota_key: &QuotaKey,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<UpstreamPermit, AcquireError>;

    /// The calls per second that the quota allows, as far as the limiter knows it.
    fn rate(&self, quota_key: &QuotaKey) -> f64;

    /// Waits for a permit for a call of a bulk job. Interactive calls come first, but bulk calls have a
    /// guaranteed share.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] as soon as it is known that no permit becomes available in time.
    async fn acquire_bulk(
        &self,
        quota_key: &QuotaKey,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<UpstreamPermit, AcquireError> {
        self.acquire(quota_key, tenant, deadline).await
    }
}

/// The priority of a call to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A caller waits for the response.
    Interactive,
    /// The call belongs to a bulk job.
    Bulk,
}

/// How much of the tenant quota a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The call only reads.
    Read,
    /// The call changes AWS.
    Change,
}

/// One AWS quota: an operation in an account and Region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// The account and Region.
    pub location: Location,
    /// The AWS operation that the quota limits.
    pub operation: Operation,
}

/// The AWS operations with a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `AssociateKmsKey`: 5 calls per second, not adjustable.
    AssociateKmsKey,
    /// `DisassociateKmsKey`: not documented, assumed to be 5 calls per second.
    DisassociateKmsKey,
    /// `DescribeLogGroups`: 10 calls per second.
    DescribeLogGroups,
    /// `StartQuery`: 10 calls per second.
    StartQuery,
    /// `GetQueryResults`: 10 calls per second.
    GetQueryResults,
}

/// The admission of a call by the tenant quota.
#[derive(Debug)]
pub struct Admission {
    /// The state of the quota after the admission.
    pub state: QuotaState,
    /// The call's slot among the tenant's calls in flight, which is released on drop.
    pub slot: DropGuard,
}

/// Runs a function when it is dropped.
pub struct DropGuard(Option<Box<dyn FnOnce() + Send + Sync>>);

/// The current state of a tenant quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaState {
    /// The number of calls that are possible now.
    pub remaining: u32,
    /// The time until the whole burst is available again.
    pub reset: Duration,
    /// The number of calls in flight.
    pub in_flight: u32,
}

/// Why the tenant quota rejects a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OverQuota {
    /// The tenant exceeded its call rate.
    #[error("the tenant exceeded its call rate")]
    Rate {
        /// The time until one more call is possible.
        retry_after: Duration,
        /// The state of the quota.
        state: QuotaState,
    },
    /// The tenant exceeded its number of calls in flight.
    #[error("the tenant exceeded its number of calls in flight")]
    InFlight {
        /// The time to wait before a repetition.
        retry_after: Duration,
        /// The state of the quota.
        state: QuotaState,
    },
}

/// Permission to send one call to AWS. Its holder reports the outcome of the call, to which the upstream
/// limiter adapts its rate.
pub struct UpstreamPermit(Option<Box<dyn FnOnce(UpstreamOutcome) + Send + Sync>>);

/// The outcome of a call to AWS, as the upstream limiter uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// AWS accepted the call, or refused it for another reason than its rate. The call counts toward the
    /// quota.
    Counted,
    /// AWS throttled the call.
    Throttled,
    /// The call was not sent.
    NotSent,
    /// AWS did not respond.
    Unanswered,
}

/// No permit becomes available before the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no upstream permit becomes available within the deadline")]
pub struct AcquireError {
    /// The time after which a repetition can get a permit.
    pub retry_after: Duration,
}

// === impl Operation ===

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 5] = [
        Self::AssociateKmsKey,
        Self::DisassociateKmsKey,
        Self::DescribeLogGroups,
        Self::StartQuery,
        Self::GetQueryResults,
    ];

    /// The name of the operation in AWS.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssociateKmsKey => "AssociateKmsKey",
            Self::DisassociateKmsKey => "DisassociateKmsKey",
            Self::DescribeLogGroups => "DescribeLogGroups",
            Self::StartQuery => "StartQuery",
            Self::GetQueryResults => "GetQueryResults",
        }
    }
}

// === impl DropGuard ===

impl DropGuard {
    /// Runs `release` when dropped.
    #[must_use]
    pub fn new(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(release)))
    }

    /// A guard that does nothing when it is dropped.
    #[must_use]
    pub fn noop() -> Self {
        Self(None)
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

impl fmt::Debug for DropGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DropGuard").finish_non_exhaustive()
    }
}

// === impl UpstreamPermit ===

impl UpstreamPermit {
    /// A permit that passes the outcome of its call to `report`. A permit that is dropped unused reports
    /// [`UpstreamOutcome::NotSent`].
    #[must_use]
    pub fn new(report: impl FnOnce(UpstreamOutcome) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(report)))
    }

    /// Reports the outcome of the call.
    pub fn used(mut self, outcome: UpstreamOutcome) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: UpstreamOutcome) {
        if let Some(report) = self.0.take() {
            report(outcome);
        }
    }
}

impl Drop for UpstreamPermit {
    fn drop(&mut self) {
        self.report(UpstreamOutcome::NotSent);
    }
}

impl fmt::Debug for UpstreamPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamPermit").finish_non_exhaustive()
    }
}
