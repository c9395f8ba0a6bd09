//! Budgets for the calls to AWS that no quota of a location paces: STS, KMS, IAM and Service Quotas. A tenant's calls wait for
//! the tenant's own budget first, so a tenant that calls much delays only itself.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::sleep_until;

use crate::{domain::tenant::TenantId, ports::limit::AcquireError};

/// The number of tenants from which those without recent calls are removed.
const SWEEP_AT: usize = 4096;

/// Calls per second, and how many at once after a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetRate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

/// The budget of one AWS service, for each tenant and in all.
#[derive(Debug)]
pub(super) struct CallBudget {
    of_tenant: BudgetRate,
    in_all: BudgetRate,
    /// The label of the metric.
    service: &'static str,
    state: Mutex<BudgetState>,
}

/// The budgets of the services.
#[derive(Debug)]
pub(super) struct CallBudgets {
    /// `DescribeKey`, `GetKeyPolicy` and `ListResourceTags`. KMS allows an account at least 500 of each a
    /// second (<https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html>); the tenant's
    /// own programs use the same quota.
    pub(super) kms: CallBudget,
    /// `SimulatePrincipalPolicy`. AWS documents no quota and throttles early.
    pub(super) iam: CallBudget,
    /// `ListServiceQuotas`, which the service calls rarely. AWS documents no quota.
    pub(super) quotas: CallBudget,
}

/// When the calls so far will have been earned.
#[derive(Debug, Default)]
struct BudgetState {
    in_all: Option<Instant>,
    by_tenant: HashMap<TenantId, Instant>,
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

// === impl BudgetRate ===

impl BudgetRate {
    pub(super) const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }

    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.get()
    }

    /// When a call may be sent if those before it are earned at `earned`.
    fn start(self, earned: Instant, now: Instant) -> Instant {
        let ahead = self.interval().saturating_mul(self.burst.get().saturating_sub(1));
        earned.checked_sub(ahead).map_or(now, |start| start.max(now))
    }
}

// === impl CallBudget ===

impl CallBudget {
    pub(super) fn new(service: &'static str, of_tenant: BudgetRate, in_all: BudgetRate) -> Self {
        Self { of_tenant, in_all, service, state: Mutex::default() }
    }

    /// Waits until the tenant may send a call.
    ///
    /// # Errors
    ///
    /// At once, if that is after the deadline.
    pub(super) async fn acquire(&self, tenant: &TenantId, deadline: Instant) -> Result<(), AcquireError> {
        let now = tokio::time::Instant::now().into_std();
        let start = self.reserve(tenant, now, deadline).map_err(|retry_after| {
            metrics::counter!("logkey_aws_budget_refused_total", "service" => self.service).increment(1);
            AcquireError { retry_after }
        })?;
        if start > now {
            sleep_until(start.into()).await;
        }
        Ok(())
    }

    /// Takes a call, and returns when it may be sent. Takes nothing if that is after the deadline; then returns
    /// the wait.
    fn reserve(&self, tenant: &TenantId, now: Instant, deadline: Instant) -> Result<Instant, Duration> {
        let mut state = self.state.lock();
        let own = state.by_tenant.get(tenant).copied().unwrap_or(now).max(now);
        let all = state.in_all.unwrap_or(now).max(now);
        let start = self.of_tenant.start(own, now).max(self.in_all.start(all, now));
        if start > deadline {
            return Err(start - now);
        }
        if state.by_tenant.len() >= SWEEP_AT {
            state.by_tenant.retain(|_, earned| *earned > now);
        }
        state.by_tenant.insert(tenant.clone(), own + self.of_tenant.interval());
        state.in_all = Some(all + self.in_all.interval());
        Ok(start)
    }
}

impl Default for CallBudgets {
    fn default() -> Self {
        Self {
            kms: CallBudget::new("kms", BudgetRate::new(50, 200), BudgetRate::new(500, 1_000)),
            iam: CallBudget::new("iam", BudgetRate::new(4, 20), BudgetRate::new(20, 100)),
            quotas: CallBudget::new("servicequotas", BudgetRate::new(4, 20), BudgetRate::new(20, 100)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantId {
        id.parse().unwrap()
    }

    /// How many calls of the tenant can be sent within `time`.
    async fn sent(budget: &CallBudget, id: &str, time: Duration) -> usize {
        let (deadline, mut sent) = (tokio::time::Instant::now().into_std() + time, 0);
        while budget.acquire(&tenant(id), deadline).await.is_ok() {
            sent += 1;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_gets_its_burst_and_then_its_rate() {
        let budget = CallBudget::new("kms", BudgetRate::new(10, 20), BudgetRate::new(1_000, 1_000));
        assert_eq!(sent(&budget, "a", Duration::from_secs(2)).await, 40);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(sent(&budget, "a", Duration::ZERO).await, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_greedy_tenant_does_not_delay_another() {
        let budget = CallBudget::new("kms", BudgetRate::new(10, 20), BudgetRate::new(100, 100));
        let deadline = tokio::time::Instant::now().into_std() + Duration::from_mins(1);
        let greedy = async { sent(&budget, "greedy", Duration::from_secs(10)).await };
        let quiet = async {
            let begun = tokio::time::Instant::now();
            for _ in 0..10 {
                budget.acquire(&tenant("quiet"), deadline).await.unwrap();
            }
            begun.elapsed()
        };
        let (greedy, waited) = tokio::join!(greedy, quiet);
        assert_eq!(waited, Duration::ZERO);
        assert_eq!(greedy, 120);
    }

    #[tokio::test(start_paused = true)]
    async fn all_tenants_together_have_a_budget() {
        let budget = CallBudget::new("kms", BudgetRate::new(10, 20), BudgetRate::new(5, 50));
        let mut all = 0;
        for number in 0..100 {
            all += sent(&budget, &format!("t{number}"), Duration::ZERO).await;
        }
        assert_eq!(all, 50);
        let refused = budget.acquire(&tenant("t"), tokio::time::Instant::now().into_std()).await;
        assert_eq!(refused.unwrap_err().retry_after, Duration::from_millis(200));
    }
}
