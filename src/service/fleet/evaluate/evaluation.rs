//! One evaluation of the rules of a tenant, in all its locations.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};

use super::{
    attempts::Attempts,
    pass_result::{PassResult, PassScope, Tally},
};
use crate::{
    domain::{
        association::{Location, Resource, Target},
        call::{Action, Call, CallSummary, RequestId},
        fleet::{
            Creator, EncryptionRule, JobId, LocationCoverage, RuleEvaluation, RuleId, UnreadableLocation,
        },
        principal::Scope,
        tenant::{Tenant, TenantId},
        time::Timestamp,
    },
    ports::{
        Unavailable,
        coverage::{CoverageFilter, ResourceFindings},
        rules::{EvaluatedRule, EvaluatedState},
    },
    service::{
        context::Context,
        fleet::{ports::Fleet, rules::stored::load_rules},
        shared::upstream::now,
        state::ServiceState,
    },
};

/// How many locations are read at the same time.
const CONCURRENCY: usize = 32;
/// The wait before a tenant is evaluated of which a resource could not be read.
const RETRY_AFTER: Duration = Duration::from_mins(1);
/// The timeout of one call to AWS, the wait for its permit included.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// An evaluation of the rules of a tenant.
pub(in crate::service::fleet) struct Evaluation {
    pub(super) fleet: Fleet,
    pub(super) state: Arc<ServiceState>,
    pub(super) tenant: Arc<Tenant>,
    /// The rules that count, by id.
    pub(super) rules: Vec<EncryptionRule>,
    pub(super) attempts: Attempts,
    /// Who changed resources, according to events.
    pub(super) changed_by: HashMap<Resource, Box<str>>,
    /// Whether the evaluation reads single resources, and not whole locations.
    pub(super) is_partial: bool,
    started: Timestamp,
}

/// The limits of one evaluation of a rule, which a caller sets.
#[derive(Clone, Debug)]
pub(in crate::service::fleet) struct OneTime {
    pub(in crate::service::fleet) rule: RuleId,
    /// `None`: that of the rule.
    pub(in crate::service::fleet) max_changes: Option<u32>,
}

/// What became of a rule in an evaluation.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleResult {
    pub(super) tally: Tally,
    pub(super) job: Option<JobId>,
    pub(super) state: Option<EvaluatedState>,
    pub(super) failure: Option<crate::domain::fleet::Failure>,
}

impl Evaluation {
    /// Loads the rules of a tenant. `None` if the tenant is gone or suspended. Without rules, every log group counts as
    /// one that no rule selects.
    pub(in crate::service::fleet) async fn load(
        fleet: &Fleet,
        state: &Arc<ServiceState>,
        tenant: &TenantId,
    ) -> Result<Option<Self>, Unavailable> {
        let found = state.ports.rules.current_tenant(tenant);
        let Some(tenant) = found.filter(|tenant| !tenant.suspended) else { return Ok(None) };
        let mut rules = load_rules(fleet, &tenant).await?;
        rules.retain(EncryptionRule::is_evaluated);
        let attempts = Attempts::load(fleet, &tenant.id, &rules).await?;
        Ok(Some(Self {
            fleet: fleet.clone(),
            state: Arc::clone(state),
            started: state.ports.clock.now(),
            tenant,
            rules,
            attempts,
            changed_by: HashMap::new(),
            is_partial: false,
        }))
    }

    /// Evaluates every rule in every location of the tenant. Without `changes`, it only records how the resources
    /// stand. Returns the jobs that it started.
    pub(in crate::service::fleet) async fn run(
        mut self,
        once: Option<&OneTime>,
        changes: bool,
    ) -> Result<HashMap<RuleId, JobId>, Unavailable> {
        if changes {
            self.replace_paused_jobs().await?;
            self.record_start().await?;
        }
        let scope = PassScope::Location;
        let locations: Vec<Location> = self.locations();
        // Boxed, because the future of a pass is large.
        let passes = locations.iter().map(|location| self.pass(location, &scope).boxed());
        let mut passes = stream::iter(passes.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY);
        let (mut open, mut tallies, mut unreadable) = (Vec::new(), self.no_tallies(), Vec::new());
        while let Some(mut result) = passes.next().await {
            for (sum, tally) in tallies.iter_mut().zip(&result.tallies) {
                sum.add(*tally);
            }
            unreadable.extend(self.unreadable(&result.coverage));
            if !changes {
                result.changes.clear();
            }
            // Only what a change still depends on is kept in memory.
            if result.changes.is_empty() {
                self.record(&result.coverage).await?;
            } else {
                open.push(result);
            }
        }
        let mut results = self.apply(&mut open, once).await?;
        for (result, tally) in results.iter_mut().zip(tallies) {
            result.tally = tally;
        }
        for PassResult { coverage, .. } in &open {
            self.record(coverage).await?;
        }
        self.record_end(&results, unreadable, changes).await?;
        let jobs = self.rules.iter().zip(&results);
        Ok(jobs.filter_map(|(rule, result)| Some((rule.id.clone(), result.job?))).collect())
    }

    /// Evaluates every rule for these resources only. The counts of their locations stay until the next evaluation.
    /// With `changes`, sets keys.
    pub(super) async fn run_resources(
        &mut self,
        resources: &[Resource],
        changes: bool,
    ) -> Result<(), Unavailable> {
        self.is_partial = true;
        let mut targets: HashMap<Location, Vec<Target>> = HashMap::new();
        for Resource { location, target } in resources {
            let targets = targets.entry(location.clone()).or_default();
            if !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        let mut passes = Vec::with_capacity(targets.len());
        for (location, targets) in &targets {
            let mut pass = self.pass(location, &PassScope::Targets(targets.clone())).await;
            if pass.coverage.failure.is_some() {
                // An evaluation of the whole tenant covers the resources, and says why it cannot read them.
                let soon = self.started.plus(RETRY_AFTER);
                self.fleet.ports.rule_schedule.make_due(&self.tenant.id, soon).await?;
                continue;
            }
            if !changes {
                pass.changes.clear();
            }
            passes.push(pass);
        }
        let results = self.apply(&mut passes, None).await?;
        for PassResult { coverage, .. } in passes {
            for target in targets.get(&coverage.location).into_iter().flatten() {
                let resource = Resource { location: coverage.location.clone(), target: target.clone() };
                let findings = coverage.findings.iter().filter(|finding| finding.resource == resource);
                let found = ResourceFindings {
                    tenant: self.tenant.id.clone(),
                    as_of: coverage.as_of,
                    findings: findings.cloned().collect(),
                    resource,
                };
                self.fleet.ports.coverage.record_resource(&found).await?;
            }
        }
        for (rule, result) in self.rules.iter().zip(results) {
            if let (Some(state), Some(evaluation)) = (result.state, rule.status.evaluation.clone()) {
                let evaluation = RuleEvaluation { failure: result.failure, ..evaluation };
                let evaluated = EvaluatedRule { rule: rule.clone(), evaluation, state: Some(state) };
                self.fleet.ports.rules.record_evaluation(&evaluated).await?;
            }
        }
        Ok(())
    }

    /// The position of a rule of this evaluation.
    pub(super) fn position(&self, rule: &EncryptionRule) -> usize {
        self.rules.iter().position(|it| it.id == rule.id).unwrap_or(usize::MAX)
    }

    /// The context in which the service reads for all rules of the tenant.
    pub(super) fn reader(&self, scope: &PassScope) -> Context {
        let reader = Creator {
            tenant: self.tenant.id.clone(),
            subject: "rule/evaluation".into(),
            issuer: "configuration".into(),
            scopes: vec![Scope::Read.as_str().into()],
            claims: Vec::new(),
            token_id: "rule/evaluation".into(),
            on_behalf_of: None,
            actor: None,
        };
        let cx = self.context(&reader);
        match scope {
            PassScope::Location => cx.in_background(),
            PassScope::Targets(_) => cx,
        }
    }

    /// The context of the principal that a rule acts for.
    pub(super) fn context_of(&self, rule: &EncryptionRule) -> Context {
        self.context(&rule.creator)
    }

    fn context(&self, creator: &Creator) -> Context {
        let received: Instant = now();
        let call = Call {
            request_id: RequestId::new_v7(),
            action: Action::EvaluateEncryptionRule,
            source: None,
            unverified_user_agent: None,
            summary: CallSummary::default(),
            received,
            deadline: received + CALL_TIMEOUT,
        };
        Context::current(&self.state, Arc::new(call), Arc::new(creator.to_principal()))
    }

    /// Gives the next call of a context its full time.
    #[expect(clippy::unused_self, reason = "it reads as a step of the evaluation")]
    pub(super) fn extend_deadline(&self, cx: &mut Context) {
        let call = Call { deadline: now() + CALL_TIMEOUT, ..(*cx.call).clone() };
        cx.call = Arc::new(call);
    }

    /// Stores what was found in a location.
    pub(super) async fn record(&self, coverage: &LocationCoverage) -> Result<(), Unavailable> {
        self.fleet.ports.coverage.record(coverage).await.map(drop)
    }

    fn locations(&self) -> Vec<Location> {
        crate::domain::fleet::Selection::default().locations(&self.tenant)
    }

    fn no_tallies(&self) -> Vec<Tally> {
        vec![Tally::default(); self.rules.len()]
    }

    #[expect(clippy::unused_self, reason = "it reads as a step of the evaluation")]
    fn unreadable(&self, coverage: &LocationCoverage) -> Option<UnreadableLocation> {
        let Location { account, region } = coverage.location.clone();
        let failure = coverage.failure.clone()?;
        Some(UnreadableLocation { account, region, known_as_of: None, failure })
    }

    async fn record_start(&self) -> Result<(), Unavailable> {
        for rule in &self.rules {
            let evaluation = RuleEvaluation {
                started: Some(self.started),
                // The job of the evaluation before still says what failed.
                job: rule.status.evaluation.as_ref().and_then(|last| last.job),
                ..RuleEvaluation::default()
            };
            let evaluated = EvaluatedRule { rule: rule.clone(), evaluation, state: None };
            self.fleet.ports.rules.record_evaluation(&evaluated).await?;
        }
        Ok(())
    }

    async fn record_end(
        &self,
        results: &[RuleResult],
        mut unreadable: Vec<UnreadableLocation>,
        changes: bool,
    ) -> Result<(), Unavailable> {
        if !unreadable.is_empty() {
            let filter = CoverageFilter { tenant: Some(self.tenant.id.clone()), ..CoverageFilter::default() };
            let known = self.fleet.ports.coverage.locations(&filter).await?;
            for it in &mut unreadable {
                let at = Location { account: it.account, region: it.region.clone() };
                let found = known.iter().find(|known| known.at.location == at);
                it.known_as_of = found.and_then(|known| known.known_as_of);
            }
            unreadable.sort_by(|one, other| (one.account, &one.region).cmp(&(other.account, &other.region)));
        }
        let ended = Some(self.state.ports.clock.now());
        for (rule, result) in self.rules.iter().zip(results) {
            let selected = |it: &&UnreadableLocation| {
                let at = Location { account: it.account, region: it.region.clone() };
                rule.definition.selection.includes(&at)
            };
            let last = rule.status.evaluation.as_ref();
            let Tally { groups, compliant, to_change, findings } = result.tally;
            let evaluation = RuleEvaluation {
                started: last.filter(|_| !changes).map_or(Some(self.started), |last| last.started),
                ended,
                groups,
                compliant,
                to_change: last.filter(|_| !changes).map_or(to_change, |last| last.to_change),
                findings,
                job: last.filter(|_| !changes).map_or(result.job, |last| last.job),
                failure: last
                    .filter(|_| !changes)
                    .map_or_else(|| result.failure.clone(), |last| last.failure.clone()),
                unreadable: unreadable.iter().filter(selected).cloned().collect(),
            };
            let evaluated = EvaluatedRule { rule: rule.clone(), evaluation, state: result.state.clone() };
            self.fleet.ports.rules.record_evaluation(&evaluated).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluation").field("tenant", &self.tenant.id).finish_non_exhaustive()
    }
}
