//! Evaluates a rule now (`EvaluateEncryptionRule`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time;

use super::{
    access::{record_change, require_change},
    stored::find_rule,
    view::RuleView,
};
use crate::{
    domain::{
        fleet::{JobId, RuleEvaluation, RuleId, RuleState},
        principal::Scope,
    },
    ports::Unavailable,
    service::{
        context::Context,
        error::{Error, FleetError, StorageError},
        fleet::{
            bulk::view::JobView,
            evaluate::{
                evaluation::OneTime,
                scheduler::{Evaluated, Run, evaluate},
            },
            ports::Fleet,
        },
    },
};

/// How long before the deadline the response is sent, whether or not the evaluation has ended.
const MARGIN: Duration = Duration::from_millis(500);
/// The wait before the next attempt while another evaluation of the tenant is running.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long after its deadline a call still waits for the evaluations of others before it.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// A request to evaluate a rule now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluateRule {
    /// The rule.
    pub id: RuleId,
    /// The maximum number of changes of this evaluation. `None` is that of the rule.
    pub max_changes: Option<u32>,
}

/// The job that an evaluation started, if it had changes to make.
struct StartedJob(Option<JobId>);

impl Fleet {
    /// Evaluates a rule, and the other rules of the tenant. Returns the job that makes its changes, if there is one,
    /// and the rule. If the evaluation does not end before the deadline, it continues.
    ///
    /// # Errors
    ///
    /// [`Error`], if the rule does not exist or is disabled, or the caller may not evaluate it.
    pub async fn evaluate_rule(
        &self,
        mut cx: Context,
        request: EvaluateRule,
    ) -> Result<(RuleView, Option<JobView>), Error> {
        let evaluated = self.try_evaluate_rule(&mut cx, request).await;
        cx.record_error(evaluated)
    }

    async fn try_evaluate_rule(
        &self,
        cx: &mut Context,
        request: EvaluateRule,
    ) -> Result<(RuleView, Option<JobView>), Error> {
        let EvaluateRule { id, max_changes } = request;
        cx.require(Scope::Bulk)?;
        let rule = self.own_rule(cx, &id).await?;
        require_change(cx, &rule.definition)?;
        if rule.status.state == RuleState::Disabled {
            return Err(Error::Fleet(FleetError::RuleDisabled(id)));
        }
        record_change(cx, &format!("encryption rule {id}")).await?;
        let once = OneTime { rule: id.clone(), max_changes };
        let ended = self.wait_for(cx, once).await?;
        let tenant = cx.tenant()?;
        let found = cx.in_turn(find_rule(self, &tenant, &id)).await?;
        let mut rule = found.unwrap_or(rule);
        let job = if let Some(StartedJob(job)) = ended {
            job
        } else {
            let started = Some(cx.ports().clock.now());
            let running = RuleEvaluation { started, ..RuleEvaluation::default() };
            rule.status.evaluation.get_or_insert(running).ended = None;
            None
        };
        let job = match job {
            Some(job) => cx.in_turn(self.ports.jobs.find(job)).await?,
            None => None,
        };
        let job = match job {
            Some(job) => Some(self.view(cx, job).await?),
            None => None,
        };
        Ok((self.rule_view(cx, rule).await?, job))
    }

    /// Runs the evaluation on its own task. `None` if it has not ended before the deadline.
    async fn wait_for(&self, cx: &Context, once: OneTime) -> Result<Option<StartedJob>, Error> {
        let (fleet, state, tenant) = (self.clone(), Arc::clone(&cx.state), cx.caller.tenant.clone());
        let rule = once.rule.clone();
        let wait_until = cx.call.deadline + MAX_WAIT;
        let run = async move {
            // The others of the tenant wait without asking the store again and again.
            let Some(_own_turn) = state.evaluation_locks.lock(&tenant, wait_until).await else {
                return Ok(HashMap::new());
            };
            loop {
                let run = Run { once: Some(&once), changes: true };
                match evaluate(&fleet, &state, &tenant, run).await? {
                    Evaluated::Done(jobs) => return Ok::<_, Unavailable>(jobs),
                    Evaluated::Busy => time::sleep(POLL_INTERVAL).await,
                }
            }
        };
        let task = cx.ports().tasks.spawn(run);
        let deadline = cx.call.deadline.checked_sub(MARGIN).unwrap_or(cx.call.deadline);
        match time::timeout_at(deadline.into(), task).await {
            Ok(Ok(jobs)) => {
                let jobs = jobs.map_err(StorageError::RecordUnavailable)?;
                Ok(Some(StartedJob(jobs.get(&rule).copied())))
            }
            Ok(Err(_panicked)) => Err(Error::Internal("an evaluation panicked")),
            Err(_elapsed) => Ok(None),
        }
    }
}
