//! A rule as callers see it.

use crate::{
    domain::{
        fleet::{EncryptionRule, RuleState},
        time::Timestamp,
    },
    service::{context::Context, error::Error, fleet::ports::Fleet},
};

/// A rule with what changes while its job runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleView {
    /// The rule.
    pub rule: EncryptionRule,
    /// How many resources the job of the last evaluation changed.
    pub changed: u64,
    /// When the rule is evaluated next. `None` if it is not active.
    pub next_evaluation: Option<Timestamp>,
}

impl Fleet {
    pub(super) async fn rule_view(&self, cx: &Context, rule: EncryptionRule) -> Result<RuleView, Error> {
        let changed = match rule.status.evaluation.as_ref().and_then(|evaluation| evaluation.job) {
            Some(job) => cx.in_turn(self.ports.jobs.find(job)).await?,
            None => None,
        };
        let next_evaluation = if rule.status.state == RuleState::Active {
            let next = cx.in_turn(self.ports.rule_schedule.next(rule.tenant())).await?;
            let now = cx.ports().clock.now();
            next.map(|next| next.max(now))
        } else {
            None
        };
        Ok(RuleView { rule, changed: changed.map_or(0, |job| job.counts.succeeded), next_evaluation })
    }
}
