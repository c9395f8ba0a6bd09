//! Starts the jobs that make the changes of an evaluation, one for each rule.

use std::collections::HashMap;

use super::{
    evaluation::{Evaluation, OneTime, RuleResult},
    pass_result::{Change, PassResult, REPAIR_WINDOW},
};
use crate::{
    domain::{
        association::{Location, Resource},
        fleet::{
            BulkChange, EncryptionRule, Failure, ItemCounts, Job, JobId, JobSpec, JobStatus, RuleState,
            Safety,
        },
        reason::Reason,
    },
    ports::{
        Unavailable,
        bulk::{NewJob, NewLocation, Transition},
        rules::EvaluatedState,
    },
    service::fleet::ports::JobScope,
};

impl Evaluation {
    /// Starts the changes that passes found, unless a rule would make too many. The findings then say which job
    /// makes their change, or why none does. Returns the result of each rule, without its numbers.
    pub(super) async fn apply(
        &self,
        passes: &mut [PassResult],
        once: Option<&OneTime>,
    ) -> Result<Vec<RuleResult>, Unavailable> {
        let mut results = vec![RuleResult::default(); self.rules.len()];
        for (number, (rule, result)) in self.rules.iter().zip(&mut results).enumerate() {
            let once = once.filter(|once| once.rule == rule.id);
            let changes = passes.iter().flat_map(|pass| &pass.changes).filter(|it| it.rule == number);
            let count = u64::try_from(changes.count()).unwrap_or(u64::MAX);
            let max = once.and_then(|once| once.max_changes).unwrap_or(rule.definition.max_changes);
            let is_paused = rule.status.state == RuleState::Paused;
            if count > u64::from(max) {
                let failure = too_many(count, max);
                let reason = failure.message.clone();
                result.state = (!is_paused || once.is_some()).then_some(EvaluatedState::Paused(reason));
                explain(passes, number, &failure);
                result.failure = Some(failure);
            } else if is_paused && once.is_none() {
                let failure = paused(rule);
                explain(passes, number, &failure);
                result.failure = Some(failure);
            } else {
                result.state = is_paused.then_some(EvaluatedState::Active);
                if count > 0 {
                    result.job = Some(self.start(passes, number, rule).await?);
                }
            }
        }
        Ok(results)
    }

    /// Cancels the jobs that their failure limit paused. Otherwise the resources that they did not reach would wait for a
    /// caller. The evaluation starts a new job for them, with a new limit.
    pub(super) async fn replace_paused_jobs(&mut self) -> Result<(), Unavailable> {
        let now = self.state.ports.clock.now();
        for job in std::mem::take(&mut self.attempts.paused) {
            let Ok(status) = job.status.cancel(now) else { continue };
            let cancelled = Transition { status, failure: None, retries: false };
            // It stays if a caller has continued it meanwhile.
            if self.fleet.ports.jobs.transition(job.id, &cancelled).await? {
                self.attempts.open.retain(|_, open| open.job != job.id);
            }
        }
        Ok(())
    }

    /// Starts the job of a rule.
    async fn start(
        &self,
        passes: &mut [PassResult],
        number: usize,
        rule: &EncryptionRule,
    ) -> Result<JobId, Unavailable> {
        let now = self.state.ports.clock.now();
        let job = self.new_job(rule);
        let (id, safety, status) = (job.id, job.spec.safety, job.status);
        let mut locations: HashMap<Location, NewLocation> = HashMap::new();
        let mut repairs: Vec<Resource> = Vec::new();
        for pass in passes.iter_mut() {
            for Change { finding, key, item, is_repair, .. } in
                pass.changes.iter().filter(|change| change.rule == number)
            {
                let at = pass.coverage.location.clone();
                let location = locations.entry(at.clone()).or_insert_with(|| NewLocation {
                    location: at,
                    items: Some(Vec::new()),
                    key: Some(key.clone()),
                });
                location.items.get_or_insert_default().push(item.clone());
                // A repair that failed is the same repair when it is tried again.
                if *is_repair && !self.attempts.failed.contains_key(&item.resource) {
                    repairs.push(item.resource.clone());
                }
                if let Some(finding) = pass.coverage.findings.get_mut(*finding) {
                    finding.job = Some(id);
                }
            }
        }
        let scope = if self.is_partial {
            let items = locations.values().flat_map(|location| location.items.iter().flatten());
            JobScope::Resources(items.map(|item| item.resource.clone()).collect())
        } else {
            JobScope::Tenant
        };
        let mut locations: Vec<NewLocation> = locations.into_values().collect();
        locations.sort_by(|one, other| {
            let order = |it: &NewLocation| (it.location.account, it.location.region.clone());
            order(one).cmp(&order(other))
        });
        let ports = &self.fleet.ports;
        if !repairs.is_empty() {
            ports.repairs.record(&self.tenant.id, &repairs, now, now.minus(REPAIR_WINDOW)).await?;
        }
        ports.jobs.create(&NewJob { job, locations, request: None, max_open: None }).await?;
        // Without this, the engine starts the job as soon as it finds that the plan is complete.
        let planned = Transition { status: status.planned(&safety, now), failure: None, retries: false };
        ports.jobs.transition(id, &planned).await?;
        self.fleet.rule_jobs.lock().insert(id, scope);
        self.fleet.changed.notify_one();
        Ok(id)
    }

    fn new_job(&self, rule: &EncryptionRule) -> Job {
        let safety = Safety::default();
        let name = if rule.definition.display_name.is_empty() {
            format!("encryption rule {}", rule.id)
        } else {
            format!("encryption rule {}: {}", rule.id, rule.definition.display_name)
        };
        let spec = JobSpec {
            selection: rule.definition.selection.clone(),
            change: BulkChange::SetKey(rule.definition.key.clone()),
            safety,
            reason: Some(name.into()),
        };
        Job {
            id: JobId::new_v7(),
            creator: rule.creator.clone(),
            spec,
            status: JobStatus::new(true, &safety),
            counts: ItemCounts::default(),
            created: self.state.ports.clock.now(),
            revert_of: None,
            rule: Some(rule.id.as_str().into()),
            failure: None,
        }
    }
}

/// Makes the findings of a rule say why their change is not made.
fn explain(passes: &mut [PassResult], rule: usize, failure: &Failure) {
    for pass in passes {
        for change in pass.changes.iter().filter(|change| change.rule == rule) {
            if let Some(finding) = pass.coverage.findings.get_mut(change.finding) {
                finding.failure = Some(failure.clone());
            }
        }
    }
}

fn too_many(count: u64, max: u32) -> Failure {
    let message = format!(
        "the evaluation would make {count} changes, but max_changes allows {max}: check the findings, then set state to RULE_STATE_ACTIVE with a higher max_changes, or evaluate the rule with a higher max_changes once"
    );
    Failure::new(Reason::RuleState, message)
}

fn paused(rule: &EncryptionRule) -> Failure {
    let message = rule.status.pause_reason.clone().unwrap_or_else(|| "the rule is paused".into());
    Failure::new(Reason::RuleState, message)
}
