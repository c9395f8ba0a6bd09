//! One pass over a location: all rules at once, each log group read once.

mod reading;

use std::collections::HashMap;

use super::{
    attempts::FailedAttempt,
    evaluation::Evaluation,
    keys::LocationKeys,
    pass_result::{Change, PassResult, PassScope, REPAIR_WINDOW, Tally},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{ListKeyAssociations, Location, Resource, Target},
        authorization::Access,
        fleet::{
            CoverageClass, CoverageCount, Decision, Failure, Finding, FindingKind, ItemState, LocatedRule,
            LocationCoverage, ObservedResource, PlannedItem, RequiredKey, classify, deciding, exemption,
            selecting,
        },
        reason::Reason,
        time::Timestamp,
    },
    service::{
        context::Context,
        error::{Error, StorageError},
        shared::log_groups,
    },
};

/// A resource that was repaired this often within [`REPAIR_WINDOW`] is left alone.
const MAX_REPAIRS: u32 = 3;

/// A pass while it runs.
struct Pass<'p> {
    evaluation: &'p Evaluation,
    access: &'p Access,
    located: &'p [LocatedRule<'p>],
    keys: LocationKeys<'p>,
    as_of: Timestamp,
    counts: HashMap<CountKey<'p>, u64>,
    findings: Vec<Finding>,
    tallies: Vec<Tally>,
    changes: Vec<Change>,
    /// The contexts of the rules' principals, by the position of the rule.
    creators: HashMap<usize, Context>,
}

/// What a count is about.
#[derive(PartialEq, Eq, Hash)]
struct CountKey<'p> {
    rule: Option<&'p str>,
    key: Option<KmsKeyArn>,
    class: CoverageClass,
}

/// A resource as the pass found it.
struct Found {
    resource: Resource,
    key: Option<KmsKeyArn>,
    is_key_known: bool,
    /// When AWS created the log group, if that is known.
    created: Option<Timestamp>,
}

impl Evaluation {
    /// Evaluates all rules in a location.
    pub(super) async fn pass(&self, location: &Location, scope: &PassScope) -> PassResult {
        let as_of = self.state.ports.clock.now();
        let mut cx = self.reader(scope);
        let result = match self.try_pass(&mut cx, location, scope, as_of).await {
            Ok(result) => {
                let found = result.coverage.findings.len();
                cx.audit.record_read_with(
                    cx.ports(),
                    format!(
                        "evaluated encryption rules in account {} and Region {}: {found} findings",
                        location.account, location.region
                    ),
                );
                return result;
            }
            Err(error) => error,
        };
        tracing::info!(
            tenant = %self.tenant.id,
            account = %location.account,
            region = %location.region,
            error = &result as &dyn std::error::Error,
            "encryption rules could not be evaluated in a location"
        );
        let coverage = LocationCoverage {
            tenant: self.tenant.id.clone(),
            location: location.clone(),
            as_of,
            failure: Some(self.fleet.ports.texts.failure(&result)),
            counts: Vec::new(),
            findings: Vec::new(),
        };
        PassResult { coverage, tallies: vec![Tally::default(); self.rules.len()], changes: Vec::new() }
    }

    async fn try_pass(
        &self,
        cx: &mut Context,
        location: &Location,
        scope: &PassScope,
        as_of: Timestamp,
    ) -> Result<PassResult, Error> {
        let authorized = cx.authorize(ListKeyAssociations { location: location.clone() })?;
        let access = authorized.access();
        let mut keys = LocationKeys::new(&*self.fleet.ports.texts);
        let mut located = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.definition.selection.includes(location)) {
            let requested = rule.definition.key.for_location(location);
            located.push(LocatedRule { rule, key: keys.resolve(cx, access, requested).await? });
        }
        let mut pass = Pass {
            evaluation: self,
            access,
            located: &located,
            keys,
            as_of,
            counts: HashMap::new(),
            findings: Vec::new(),
            tallies: vec![Tally::default(); self.rules.len()],
            changes: Vec::new(),
            creators: HashMap::new(),
        };
        match scope {
            PassScope::Location => pass.all(cx).await?,
            PassScope::Targets(targets) => pass.targets(cx, targets).await?,
        }
        pass.find_repairs(cx).await?;
        Ok(pass.finish(location))
    }
}

// === impl Pass ===

impl<'p> Pass<'p> {
    async fn consider(&mut self, found: Found) {
        let Found { resource, key, is_key_known, created: _ } = &found;
        let is_group = matches!(resource.target, Target::LogGroup(_));
        let observed =
            ObservedResource { target: &resource.target, key: key.as_ref(), is_key_known: *is_key_known };
        let now = self.as_of;
        let located = self.located;
        let selecting = selecting(located, &resource.target);
        for rule in &selecting {
            let class = classify(rule, observed, now);
            self.tally(rule, |tally| {
                tally.groups += 1;
                tally.compliant += u64::from(class == CoverageClass::Compliant);
            });
            if is_group {
                self.count(Some(rule.rule.id.as_str()), key.as_ref(), class);
            }
        }
        let decision = deciding(&selecting, &resource.target, now);
        let (class, decider) = match &decision {
            Decision::NoRule => (CoverageClass::NoRule, None),
            Decision::Conflict(_) => (CoverageClass::Conflict, None),
            Decision::Rule(rule) => (classify(rule, observed, now), Some(*rule)),
        };
        if is_group {
            self.count(None, key.as_ref(), class);
        }
        match &decision {
            Decision::NoRule if is_group => {
                let finding = self.finding(&found, class, FindingKind::NoRule);
                self.findings.push(finding);
            }
            Decision::NoRule => {}
            Decision::Conflict(rules) => self.add_conflict(&found, rules),
            Decision::Rule(rule) => self.add(&found, rule, class).await,
        }
        for rule in selecting {
            let is_decider = decider.is_some_and(|decider| decider.rule.id == rule.rule.id);
            if !rule.rule.enforces() && !is_decider {
                self.add(&found, rule, classify(rule, observed, now)).await;
            }
        }
    }

    fn add_conflict(&mut self, found: &Found, rules: &[&LocatedRule<'_>]) {
        let mut ids = rules.iter().map(|rule| Box::<str>::from(rule.rule.id.as_str()));
        let finding = self.finding(found, CoverageClass::Conflict, FindingKind::Conflict);
        let (rule, other_rules) = (ids.next(), ids.collect());
        self.findings.push(Finding { rule, other_rules, ..finding });
        for rule in rules {
            self.tally(rule, |tally| tally.findings += 1);
        }
    }

    /// Adds the finding of a rule, and the change if the rule requires one.
    async fn add(&mut self, found: &Found, rule: &LocatedRule<'p>, class: CoverageClass) {
        let kind = match class {
            CoverageClass::OtherKey => FindingKind::OtherKey,
            CoverageClass::NoKey => FindingKind::NoKey,
            CoverageClass::KeyUnhealthy => FindingKind::KeyUnhealthy,
            CoverageClass::Exempt => FindingKind::Exempt,
            CoverageClass::Unknown => FindingKind::Unknown,
            CoverageClass::Compliant | CoverageClass::NoRule | CoverageClass::Conflict => return,
        };
        self.tally(rule, |tally| tally.findings += 1);
        let position = self.findings.len();
        let mut finding = Finding {
            rule: Some(rule.rule.id.as_str().into()),
            wanted: rule.key.arn().cloned(),
            exemption: exemption(rule, &found.resource.target, self.as_of).map(|it| it.reason.clone()),
            ..self.finding(found, class, kind)
        };
        let needs_key = match class {
            CoverageClass::OtherKey | CoverageClass::NoKey => true,
            // AWS does not tell the key of query results.
            CoverageClass::Unknown => found.resource.target == Target::QueryResults,
            CoverageClass::Compliant
            | CoverageClass::KeyUnhealthy
            | CoverageClass::Exempt
            | CoverageClass::NoRule
            | CoverageClass::Conflict => false,
        };
        finding.failure = match &rule.key {
            _ if kind == FindingKind::Exempt => None,
            RequiredKey::Resolved { arn, unhealthy: None } if needs_key => {
                self.plan(found, rule, arn, position).await
            }
            key @ (RequiredKey::Resolved { .. } | RequiredKey::Unresolved { .. }) => key.failure().cloned(),
        };
        if let Some(FailedAttempt { job, failure }) = self.evaluation.attempts.failed.get(&found.resource)
            && rule.rule.enforces()
        {
            finding.job = Some(*job);
            finding.failure = finding.failure.or_else(|| failure.clone());
        }
        self.findings.push(finding);
    }

    /// Plans the change of a resource. Returns why it cannot be made.
    async fn plan(
        &mut self,
        found: &Found,
        rule: &LocatedRule<'p>,
        key: &KmsKeyArn,
        finding: usize,
    ) -> Option<Failure> {
        let evaluation = self.evaluation;
        let number = evaluation.position(rule.rule);
        let creator = self.creators.entry(number).or_insert_with(|| evaluation.context_of(rule.rule));
        evaluation.extend_deadline(creator);
        if let Some(failure) = self.keys.check(creator, self.access, key, &found.resource).await {
            return Some(failure);
        }
        self.tally(rule, |tally| tally.to_change += 1);
        if rule.rule.enforces() {
            let item = PlannedItem {
                resource: found.resource.clone(),
                state: ItemState::Waiting,
                own_key: None,
                previous_key: found.key.clone(),
                failure: None,
            };
            let (key, created) = (key.clone(), found.created);
            self.changes.push(Change { rule: number, finding, key, item, created, is_repair: false });
        }
        None
    }

    /// Finds the changes that are repairs, and drops those of resources that were repaired too often, and those
    /// that a job is going to make.
    async fn find_repairs(&mut self, cx: &Context) -> Result<(), Error> {
        let changes = std::mem::take(&mut self.changes);
        let resources: Vec<Resource> = changes.iter().map(|change| change.item.resource.clone()).collect();
        let records = log_groups::load_records(cx, &resources).await;
        let mut last_known: HashMap<(&Resource, &KmsKeyArn), Timestamp> = HashMap::new();
        for record in &records {
            let former = record.former.iter().map(|past| (&past.key, past.observed_at));
            for (key, at) in former.chain(record.key.iter().map(|key| (key, record.observed_at))) {
                let known = last_known.entry((&record.resource, key)).or_insert(at);
                *known = at.max(*known);
            }
        }
        let (tenant, since) = (&self.evaluation.tenant.id, self.as_of.minus(REPAIR_WINDOW));
        let counts = self.evaluation.fleet.ports.repairs.count(tenant, &resources, since).await;
        let counts = counts.map_err(StorageError::RecordUnavailable)?;
        for (mut change, repairs) in changes.into_iter().zip(counts) {
            let resource = &change.item.resource;
            // A log group that was created again is a new one, and has lost nothing.
            change.is_repair = last_known
                .get(&(resource, &change.key))
                .is_some_and(|at| change.created.is_none_or(|created| created <= *at));
            let Some(finding) = self.findings.get_mut(change.finding) else { continue };
            if let Some(open) = self.evaluation.attempts.open.get(resource) {
                finding.job = Some(open.job);
                if self.evaluation.is_partial || !open.will_set(&change.key) {
                    self.evaluation.fleet.evaluate_after(open.job, resource);
                }
            } else if change.is_repair && repairs >= MAX_REPAIRS {
                finding.kind = FindingKind::Flapping;
                finding.failure = Some(Failure::new(
                    Reason::ConflictingChange,
                    format!("{repairs} repairs within 24 hours"),
                ));
            } else {
                self.changes.push(change);
            }
        }
        Ok(())
    }

    fn finish(self, location: &Location) -> PassResult {
        let Self { evaluation, as_of, counts, findings, tallies, changes, .. } = self;
        let count = |(CountKey { rule, key, class }, count)| CoverageCount {
            rule: rule.map(Into::into),
            key,
            class,
            count,
        };
        let coverage = LocationCoverage {
            tenant: evaluation.tenant.id.clone(),
            location: location.clone(),
            as_of,
            failure: None,
            counts: counts.into_iter().map(count).collect(),
            findings,
        };
        PassResult { coverage, tallies, changes }
    }

    fn finding(&self, found: &Found, class: CoverageClass, kind: FindingKind) -> Finding {
        Finding {
            resource: found.resource.clone(),
            class,
            kind,
            rule: None,
            other_rules: Vec::new(),
            wanted: None,
            current: found.key.clone(),
            failure: None,
            exemption: None,
            changed_by: self.evaluation.changed_by.get(&found.resource).cloned(),
            job: None,
        }
    }

    fn count(&mut self, rule: Option<&'p str>, key: Option<&KmsKeyArn>, class: CoverageClass) {
        *self.counts.entry(CountKey { rule, key: key.cloned(), class }).or_default() += 1;
    }

    fn tally(&mut self, rule: &LocatedRule<'_>, add: impl FnOnce(&mut Tally)) {
        if let Some(tally) = self.tallies.get_mut(self.evaluation.position(rule.rule)) {
            add(tally);
        }
    }

    fn resource(&self, target: Target) -> Resource {
        Resource { location: self.access.location().clone(), target }
    }
}
