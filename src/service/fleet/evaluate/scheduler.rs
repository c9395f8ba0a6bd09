//! Evaluates the rules of each tenant at its time. Replicas share the tenants.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use opentelemetry::KeyValue;
use parking_lot::Mutex;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::evaluation::{Evaluation, OneTime};
use crate::{
    domain::{
        association::Resource,
        fleet::{ConfiguredRule, JobId, JobState, RuleId},
        tenant::{Tenant, TenantId},
        time::Timestamp,
    },
    ports::{
        ConfigSnapshot, Unavailable,
        bulk::JobFilter,
        rules::{EvaluationClaim, RuleSchedule},
    },
    service::{
        fleet::{
            ports::{Fleet, JobScope},
            rules::stored::has_rules,
        },
        state::ServiceState,
    },
    spans::{self, Root},
};

/// How often the scheduler looks for tenants that are due.
const TICK: Duration = Duration::from_millis(500);
/// How long a claim is valid without a confirmation.
const LEASE: Duration = Duration::from_secs(15);
/// How many tenants are evaluated at the same time.
const CONCURRENCY: usize = 4;
/// The number of jobs that are read at once.
const PAGE: u32 = 500;
/// The wait before an evaluation that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The outcome of an evaluation in metrics.
const DONE: &str = "done";
/// The outcome of an evaluation that ended early and is tried again.
const FAILED: &str = "failed";
/// The share of the interval by which the times of evaluations are spread.
const JITTER: f64 = 0.1;

/// Evaluates the rules of each tenant at its time. A process has one instance.
pub struct RuleScheduler {
    state: Arc<ServiceState>,
    fleet: Fleet,
    /// The rules of the configuration that are scheduled.
    configured: Mutex<HashMap<TenantId, Vec<ConfiguredRule>>>,
    /// The snapshot whose rules are scheduled.
    snapshot: Mutex<Option<Weak<dyn ConfigSnapshot>>>,
}

/// How an evaluation ended.
#[derive(Debug)]
pub(in crate::service::fleet) enum Evaluated {
    /// It started these jobs.
    Done(HashMap<RuleId, JobId>),
    /// Another evaluation of the tenant is running.
    Busy,
}

// === impl RuleScheduler ===

impl RuleScheduler {
    /// Creates the scheduler.
    #[must_use]
    pub fn new(state: Arc<ServiceState>, fleet: Fleet) -> Self {
        Self { state, fleet, configured: Mutex::default(), snapshot: Mutex::default() }
    }

    /// Runs until the service stops.
    pub async fn run(self, stopping: CancellationToken) {
        for outcome in [DONE, FAILED] {
            metrics::counter!("logkey_rule_evaluations_total", "outcome" => outcome).absolute(0);
        }
        let ticks = async {
            while let Err(error) = self.follow_open_jobs().await {
                warn(&error);
                time::sleep(TICK).await;
            }
            loop {
                if let Err(error) = self.tick().await {
                    warn(&error);
                    time::sleep(TICK).await;
                }
                let _woken = time::timeout(TICK, self.fleet.rules_due.notified()).await;
            }
        };
        tokio::select! {
            () = ticks => {}
            () = stopping.cancelled() => {}
        }
    }

    async fn tick(&self) -> Result<(), Unavailable> {
        self.schedule_configured().await?;
        let now = self.state.ports.clock.now();
        let limit = u32::try_from(CONCURRENCY * 4).unwrap_or(u32::MAX);
        let due = self.fleet.ports.rule_schedule.due(now, limit).await?;
        let evaluations =
            stream::iter(due).map(|tenant| async move { self.evaluate(&tenant, true).await.map(drop) });
        let results: Vec<_> = evaluations.buffer_unordered(CONCURRENCY).collect().await;
        self.follow_jobs().await?;
        results.into_iter().collect()
    }

    async fn evaluate(&self, tenant: &TenantId, changes: bool) -> Result<Evaluated, Unavailable> {
        evaluate(&self.fleet, &self.state, tenant, Run { once: None, changes }).await
    }

    /// Makes tenants due whose rules in the configuration changed.
    async fn schedule_configured(&self) -> Result<(), Unavailable> {
        let snapshot = self.state.ports.rules.current();
        let scheduled = Arc::downgrade(&snapshot);
        if self.snapshot.lock().as_ref().is_some_and(|last| Weak::ptr_eq(last, &scheduled)) {
            return Ok(());
        }
        let tenants = snapshot.tenants().all();
        drop(snapshot);
        let now = self.state.ports.clock.now();
        let known: Vec<TenantId> = self.configured.lock().keys().cloned().collect();
        let gone = known.into_iter().filter(|id| !tenants.iter().any(|tenant| tenant.id == *id));
        let removed: Vec<TenantId> = gone.collect();
        for id in &removed {
            self.fleet.ports.rules.retain_configured(id, &[]).await?;
            self.configured.lock().remove(id);
        }
        let is_start = self.snapshot.lock().is_none();
        for tenant in tenants {
            let before = self.configured.lock().get(&tenant.id).cloned();
            let is_same = match &before {
                Some(before) => *before == tenant.rules,
                // Its rules can have been removed from the configuration while no process ran.
                None => {
                    tenant.rules.is_empty()
                        && (!is_start || self.fleet.ports.rules.configured(&tenant.id).await?.is_empty())
                }
            };
            if is_same {
                continue;
            }
            self.schedule_tenant(&tenant, before.is_some(), now).await?;
            self.configured.lock().insert(tenant.id.clone(), tenant.rules.clone());
        }
        *self.snapshot.lock() = Some(scheduled);
        Ok(())
    }

    async fn schedule_tenant(
        &self,
        tenant: &Tenant,
        was_scheduled: bool,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let ports = &self.fleet.ports;
        let ids: Vec<RuleId> = tenant.rules.iter().map(|rule| rule.id.clone()).collect();
        let stored = ports.rules.configured(&tenant.id).await?;
        ports.rules.retain_configured(&tenant.id, &ids).await?;
        // At a start, rules that were evaluated before keep their time.
        let is_same = tenant.rules.len() == stored.len()
            && tenant.rules.iter().all(|rule| {
                stored.iter().any(|stored| stored.id == rule.id && stored.definition == rule.definition)
            });
        if is_same && !was_scheduled && ports.rule_schedule.next(&tenant.id).await?.is_some() {
            return Ok(());
        }
        ports.rule_schedule.make_due(&tenant.id, now).await
    }

    /// Applies the rules to resources that somebody else changed while these jobs ran.
    async fn evaluate_changed(&self, tenant: &TenantId, jobs: &[JobId]) -> Result<(), Unavailable> {
        let changed: HashSet<Resource> = {
            let all = self.fleet.changed_meanwhile.lock();
            jobs.iter().filter_map(|job| all.get(job)).flatten().cloned().collect()
        };
        if !changed.is_empty()
            && let Some(mut evaluation) = Evaluation::load(&self.fleet, &self.state, tenant).await?
        {
            evaluation.run_resources(&changed.into_iter().collect::<Vec<_>>(), true).await?;
        }
        self.fleet.changed_meanwhile.lock().retain(|job, _| !jobs.contains(job));
        Ok(())
    }

    /// Follows the jobs of rules that a process before this one started.
    async fn follow_open_jobs(&self) -> Result<(), Unavailable> {
        let states = JobState::ALL.into_iter().filter(|state| !state.has_ended()).collect();
        let mut filter = JobFilter { tenant: None, states, before: None };
        loop {
            let page = self.fleet.ports.jobs.list(&filter, PAGE).await?;
            filter.before = page.last().map(|job| job.id);
            let of_rules = page.into_iter().filter(|job| job.rule.is_some());
            self.fleet.rule_jobs.lock().extend(of_rules.map(|job| (job.id, JobScope::Tenant)));
            if filter.before.is_none() {
                return Ok(());
            }
        }
    }

    /// Records how resources stand after the jobs of rules ended.
    async fn follow_jobs(&self) -> Result<(), Unavailable> {
        let open: Vec<JobId> = self.fleet.rule_jobs.lock().keys().copied().collect();
        let mut ended: HashMap<TenantId, Vec<JobId>> = HashMap::new();
        for id in open {
            match self.fleet.ports.jobs.find(id).await? {
                Some(job) if !job.status.state.has_ended() => {}
                Some(job) => ended.entry(job.creator.tenant).or_default().push(id),
                None => {
                    self.fleet.rule_jobs.lock().remove(&id);
                    self.fleet.changed_meanwhile.lock().remove(&id);
                }
            }
        }
        for (tenant, jobs) in ended {
            let scopes: Vec<JobScope> = {
                let known = self.fleet.rule_jobs.lock();
                jobs.iter().filter_map(|job| known.get(job).cloned()).collect()
            };
            let resources: Option<Vec<Resource>> =
                scopes.into_iter().try_fold(Vec::new(), |mut all, scope| {
                    match scope {
                        JobScope::Resources(resources) => all.extend(resources),
                        JobScope::Tenant => return None,
                    }
                    Some(all)
                });
            let is_done = match resources {
                Some(resources) => {
                    if let Some(mut evaluation) = Evaluation::load(&self.fleet, &self.state, &tenant).await? {
                        for job in &jobs {
                            evaluation.attempts.add_failed(&self.fleet, *job).await?;
                        }
                        evaluation.run_resources(&resources, false).await?;
                    }
                    true
                }
                None => matches!(self.evaluate(&tenant, false).await?, Evaluated::Done(_)),
            };
            if is_done {
                self.evaluate_changed(&tenant, &jobs).await?;
                self.fleet.rule_jobs.lock().retain(|job, _| !jobs.contains(job));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for RuleScheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleScheduler").finish_non_exhaustive()
    }
}

fn warn(error: &Unavailable) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "encryption rules could not be evaluated; the next attempt follows");
}

/// What an evaluation does beside recording how resources stand.
#[derive(Clone, Copy, Debug)]
pub(in crate::service::fleet) struct Run<'o> {
    pub(in crate::service::fleet) once: Option<&'o OneTime>,
    pub(in crate::service::fleet) changes: bool,
}

/// Evaluates the rules of a tenant, unless another worker does.
pub(in crate::service::fleet) async fn evaluate(
    fleet: &Fleet,
    state: &Arc<ServiceState>,
    tenant: &TenantId,
    run: Run<'_>,
) -> Result<Evaluated, Unavailable> {
    let schedule = &fleet.ports.rule_schedule;
    let Some(claim) = schedule.claim(tenant, LEASE).await? else { return Ok(Evaluated::Busy) };
    let before = schedule.next(tenant).await?;
    let started = time::Instant::now();
    let work = async {
        spans::annotate(|| [KeyValue::new("logkey.tenant", tenant.to_string())]);
        match Evaluation::load(fleet, state, tenant).await? {
            Some(evaluation) => evaluation.run(run.once, run.changes).await,
            None => Ok(HashMap::new()),
        }
    };
    let work = Root::background("rule evaluation").record(work);
    let result = tokio::select! {
        result = work => result,
        lost = keep(&**schedule, &claim) => Err(lost),
    };
    let outcome = if result.is_ok() { DONE } else { FAILED };
    metrics::counter!("logkey_rule_evaluations_total", "outcome" => outcome).increment(1);
    metrics::histogram!("logkey_rule_evaluation_seconds").record(started.elapsed().as_secs_f64());
    let interval = fleet.settings.interval;
    let next = if result.is_err() {
        Some(state.ports.clock.now().plus(RETRY_AFTER))
    } else if run.changes {
        let spread = interval.mul_f64(1.0 - JITTER + rand::random_range(0.0..=JITTER));
        Some(state.ports.clock.now().plus(spread))
    } else {
        before
    };
    let has_rules = has_rules(fleet, state, tenant).await?;
    schedule.release(&claim, next.filter(|_| has_rules)).await?;
    result.map(Evaluated::Done)
}

/// Confirms a claim until it is lost.
async fn keep(schedule: &dyn RuleSchedule, claim: &EvaluationClaim) -> Unavailable {
    loop {
        time::sleep(LEASE / 3).await;
        match schedule.confirm(claim, LEASE).await {
            Ok(true) => {}
            Ok(false) => return Unavailable { dependency: "rule schedule", source: None },
            Err(error) => return error,
        }
    }
}
