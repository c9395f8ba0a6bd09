//! [`TenantQuota`] shared by replicas: rate, burst and calls in flight are counted by the server.

use std::{
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use async_trait::async_trait;
use redis::ScriptInvocation;
use uuid::Uuid;

use super::{Link, OnBackendError, micros};
use crate::{
    domain::tenant::{Limits, Tenant, TenantId},
    limit::{Costs, LocalQuota, quota::count},
    ports::limit::{Admission, Cost, Held, OverQuota, QuotaState, TenantQuota},
};

/// After this a call under way is taken for one whose replica is gone.
const LEASE: Duration = Duration::from_mins(2);
/// The wait that is told where all places are taken, or where nothing can be decided.
const AWAY: Duration = Duration::from_millis(500);

/// Keeps tenants to their limits, across replicas.
#[derive(Debug)]
pub struct SharedQuota {
    link: Arc<Link>,
    costs: Costs,
    /// What this replica gave by itself, so that it can go on alone, and can say what it gave.
    own: Arc<LocalQuota>,
}

/// What the script answers: what, wait, left, reset, in flight.
type Answer = (u8, u64, u32, u64, u32);

// === impl SharedQuota ===

impl SharedQuota {
    /// Counted through `link`; `own` counts what this replica gives.
    #[must_use]
    pub fn new(link: Arc<Link>, costs: Costs, own: Arc<LocalQuota>) -> Self {
        Self { link, costs, own }
    }

    async fn ask(&self, tenant: &Tenant, cost: Cost, place: &str) -> Option<Answer> {
        let Limits { per_second, burst, max_in_flight } = tenant.limits;
        let owed = self.own.owed(tenant, self.link.returns.load(SeqCst));
        let mut call = self.keys(&tenant.id);
        call.arg(micros(Duration::from_secs(1)) / u64::from(per_second.get()).max(1))
            .arg(burst.get())
            .arg(self.costs.of(cost).get())
            .arg(max_in_flight.get())
            .arg(place)
            .arg(micros(LEASE))
            .arg(owed);
        self.link.decide(&call).await
    }

    fn keys(&self, tenant: &TenantId) -> ScriptInvocation<'_> {
        let mut call = self.link.scripts.quota.prepare_invoke();
        call.key(format!("logkey:rate:{tenant}")).key(places(tenant));
        call
    }

    fn alone(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        match self.link.on_error {
            OnBackendError::Share => {
                let share = share(tenant.limits, self.link.replicas());
                self.own.admit_within(&tenant.id, share, self.costs.of(cost))
            }
            OnBackendError::Refuse => {
                let state = QuotaState { remaining: 0, reset: AWAY, in_flight: 0 };
                Err(OverQuota::Rate { retry_after: AWAY, state }).inspect_err(count)
            }
        }
    }

    /// Gives a place back, without waiting for it.
    fn give_back(&self, tenant: &TenantId, place: String) -> impl FnOnce() + Send + Sync + 'static {
        let (link, key) = (Arc::clone(&self.link), places(tenant));
        move || {
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    let mut connection = link.connection.clone();
                    let call = redis::Cmd::zrem(key, place);
                    drop(call.exec_async(&mut connection).await);
                });
            }
        }
    }
}

#[async_trait]
impl TenantQuota for SharedQuota {
    async fn admit(&self, tenant: &Tenant, cost: Cost) -> Result<Admission, OverQuota> {
        let place = Uuid::new_v4().to_string();
        let Some((what, wait, remaining, reset, in_flight)) = self.ask(tenant, cost, &place).await else {
            return self.alone(tenant, cost);
        };
        let state = QuotaState { remaining, reset: Duration::from_micros(reset), in_flight };
        let refusal = match what {
            0 => {
                let own = self.own.note(
                    &tenant.id,
                    tenant.limits,
                    self.costs.of(cost),
                    self.link.returns.load(SeqCst),
                );
                let back = self.give_back(&tenant.id, place);
                let place = Held::new(move || {
                    drop(own);
                    back();
                });
                return Ok(Admission { state, place });
            }
            1 => OverQuota::Rate {
                retry_after: Duration::from_micros(wait).max(Duration::from_millis(1)),
                state,
            },
            _ => OverQuota::InFlight { retry_after: AWAY, state },
        };
        Err(refusal).inspect_err(count)
    }

    /// As far as this replica knows.
    fn state(&self, tenant: &Tenant) -> QuotaState {
        self.own.state(tenant)
    }
}

fn places(tenant: &TenantId) -> String {
    format!("logkey:places:{tenant}")
}

/// What one of so many replicas may give alone.
fn share(limits: Limits, replicas: u32) -> Limits {
    let part = |whole: NonZeroU32| NonZeroU32::new(whole.get() / replicas.max(1)).unwrap_or(NonZeroU32::MIN);
    Limits {
        per_second: part(limits.per_second),
        burst: part(limits.burst),
        max_in_flight: part(limits.max_in_flight),
    }
}
