//! How much may be called: by tenants, and toward AWS.

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

/// Keeps tenants to their limits.
#[async_trait]
pub trait TenantQuota: Send + Sync + 'static {
    /// Takes one call from the tenant's budget, and a place among its calls under way.
    ///
    /// # Errors
    ///
    /// [`OverQuota`] with the wait after which a repetition can succeed.
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota>;

    /// What is left, without taking anything.
    fn state(&self, tenant: &Tenant) -> QuotaState;
}

/// Gives out turns toward AWS, so that no account's quota is overrun.
#[async_trait]
pub trait UpstreamLimiter: Send + Sync + 'static {
    /// Waits for a turn, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// [`NoTurn`] as soon as it is known that none comes in time.
    async fn acquire(
        &self,
        quota_key: &QuotaKey,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<UpstreamPermit, AcquireError>;

    /// The same for a call of a bulk job: it goes after the calls that someone waits for, and is sure
    /// of a share.
    ///
    /// # Errors
    ///
    /// [`NoTurn`] as soon as it is known that none comes in time.
    async fn acquire_bulk(
        &self,
        quota_key: &QuotaKey,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<UpstreamPermit, AcquireError> {
        self.acquire(quota_key, tenant, deadline).await
    }
}

/// Whether someone waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A call of a caller's own.
    Interactive,
    /// A call of a bulk job.
    Bulk,
}

/// How much a call weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// It reads.
    Read,
    /// It changes something.
    Change,
}

/// One quota of AWS's: an operation of an account and Region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// The account and Region.
    pub location: Location,
    /// The operation.
    pub operation: Operation,
}

/// The operations that AWS rations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `AssociateKmsKey`: 5 a second, not adjustable.
    AssociateKmsKey,
    /// `DisassociateKmsKey`: not documented; taken to be 5 a second.
    DisassociateKmsKey,
    /// `DescribeLogGroups`: 10 a second.
    DescribeLogGroups,
    /// `StartQuery`: 10 a second.
    StartQuery,
    /// `GetQueryResults`: 10 a second.
    GetQueryResults,
}

/// A call that may go on.
#[derive(Debug)]
pub struct Admission {
    /// What is left after it.
    pub state: QuotaState,
    /// Its place among the calls under way, given back on drop.
    pub location: DropGuard,
}

/// Something that is given back on drop.
pub struct DropGuard(Option<Box<dyn FnOnce() + Send + Sync>>);

/// A tenant's limits and what is left of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaState {
    /// Calls that could be made now without waiting.
    pub remaining: u32,
    /// How long until the whole burst is there again.
    pub reset: Duration,
    /// Calls under way.
    pub in_flight: u32,
}

/// The tenant may not call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OverQuota {
    /// It calls too often.
    #[error("over the tenant's rate")]
    Rate {
        /// How long until one more would be allowed.
        retry_after: Duration,
        /// What is left.
        state: QuotaState,
    },
    /// It has too many calls under way.
    #[error("over the tenant's calls in flight")]
    InFlight {
        /// How long to wait before trying again.
        retry_after: Duration,
        /// What is left.
        state: QuotaState,
    },
}

/// Leave to make one call to AWS. Whoever holds it says how AWS answered, so that the pace follows.
pub struct UpstreamPermit(Option<Box<dyn FnOnce(UpstreamOutcome) + Send + Sync>>);

/// How AWS answered, as far as the pace is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// It took the call, or refused it for a reason of its own: the call counted.
    Counted,
    /// It throttled the call.
    Throttled,
    /// The call was never sent.
    NotSent,
    /// No answer came.
    Unanswered,
}

/// No turn comes before the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no turn within the deadline")]
pub struct AcquireError {
    /// When a repetition could have one.
    pub retry_after: Duration,
}

// === impl Operation ===

impl Operation {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::AssociateKmsKey,
        Self::DisassociateKmsKey,
        Self::DescribeLogGroups,
        Self::StartQuery,
        Self::GetQueryResults,
    ];

    /// AWS's name for it.
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

// === impl Held ===

impl DropGuard {
    /// Runs `release` when dropped.
    #[must_use]
    pub fn new(release: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(release)))
    }

    /// Nothing to give back.
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
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

// === impl Turn ===

impl UpstreamPermit {
    /// A turn whose use is told to `report`; one that is dropped unused is told as not sent.
    #[must_use]
    pub fn new(report: impl FnOnce(UpstreamOutcome) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(report)))
    }

    /// Says how AWS answered.
    pub fn used(mut self, feedback: UpstreamOutcome) {
        self.report(feedback);
    }

    fn report(&mut self, feedback: UpstreamOutcome) {
        if let Some(report) = self.0.take() {
            report(feedback);
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
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}
