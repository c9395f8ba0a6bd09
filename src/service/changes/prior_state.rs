//! The prior state of a resource: its current and former keys before a change, and what the change makes
//! of them.

use std::{collections::HashMap, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;

use super::{changed::Changed, warnings};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociationState, KeyAssociation, Resource, Source, Target},
        authorization::Access,
        history::{FormerKey, KeyRecord, Observation, Retention},
        key::KeyHealth,
        time::Timestamp,
    },
    ports::LogGroup,
    service::{
        context::Context,
        error::Error,
        shared::{
            key_health::{self, Health},
            log_groups,
            observation_buffer::observation,
            query_results_probe, upstream,
        },
    },
};

/// The age from which a record of a log group is read again before a change replaces its key. AWS does not
/// return former keys, so the read before the change is the last opportunity.
const MAX_AGE: Duration = Duration::from_hours(1);
/// The normal difference between the clocks of replicas.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(1);
/// The timeout of a read that the change does not depend on.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a change needs the prior state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    /// The change fails if the prior state cannot be read.
    Required,
    /// The change is made even if the prior state cannot be read. A warning then says so.
    BestEffort,
}

/// A log group with the time just before it was read.
#[derive(Clone, Debug)]
pub(in crate::service) struct GroupRead {
    pub(in crate::service) group: LogGroup,
    pub(in crate::service) at: Timestamp,
}

/// The prior state of a resource.
#[derive(Debug)]
pub(super) struct PriorState {
    /// The log group, if it was read from AWS.
    pub(super) group: Option<LogGroup>,
    /// The observation from that read, which is stored with the intent.
    pub(super) observation: Option<Observation>,
    record: Option<KeyRecord>,
    results_have_key: bool,
    /// The health of former keys, and when KMS deletes them.
    health: HashMap<KmsKeyArn, Health>,
}

/// Loads the prior state of a resource. The caller holds the resource's lock.
pub(super) async fn load(
    cx: &mut Context,
    access: &Access,
    resource: &Resource,
    requirement: Requirement,
    read: Option<GroupRead>,
) -> Result<PriorState, Error> {
    let results = Resource { target: Target::QueryResults, ..resource.clone() };
    let (mut record, mut results_have_key) = (None, false);
    for it in log_groups::load_records(cx, &[resource.clone(), results]).await {
        if it.resource.target == Target::QueryResults {
            results_have_key = it.key.is_some();
        }
        cx.state.facts.advance(it.observed_at);
        if it.resource == *resource {
            record = Some(it);
        }
    }
    let (read, now) = match read {
        Some(GroupRead { group, at }) => (Some(group), at),
        None => (None, cx.state.fact_time(&resource.location).await),
    };
    let group = match (requirement, &resource.target) {
        _ if read.is_some() => read,
        (Requirement::Required, _) => Box::pin(log_groups::read_current_key(cx, access, resource)).await?,
        (Requirement::BestEffort, Target::LogGroup(name))
            if !record.as_ref().is_some_and(|it| is_fresh(it, cx.ports().clock.now())) =>
        {
            let deadline = (upstream::now() + TIMEOUT).min(cx.call.deadline);
            let read = AssertUnwindSafe(Box::pin(log_groups::find(cx, access, name, deadline)));
            // The change does not depend on this read, so not even a panic in it fails the change.
            let found = read.catch_unwind().await.unwrap_or(Err(Error::Internal("a read panicked")));
            found.inspect_err(|error| tracing::debug!(%error, "the prior state was not read")).ok()
        }
        (Requirement::BestEffort, _) => None,
    };
    let observation = match (requirement, &resource.target) {
        (Requirement::Required, Target::QueryResults) => {
            Box::pin(query_results_probe::prior_results_key(cx, access, record.as_ref())).await
        }
        (Requirement::Required | Requirement::BestEffort, _) => {
            group.as_ref().map(|group| observation(access.location(), group, now))
        }
    };
    if let Some(observation) = &observation {
        record = Some(KeyRecord::observe(record, observation));
    }
    cx.audit.previous(record.as_ref().and_then(|record| record.key.as_ref()));
    cx.state.observations.invalidate(resource);
    Ok(PriorState { group, observation, record, results_have_key, health: HashMap::new() })
}

/// Whether the record is recent enough to skip the read. The age of a record from the future is not known: the
/// clock was set back, or that of another replica is ahead.
fn is_fresh(record: &KeyRecord, now: Timestamp) -> bool {
    let is_from_future = record.observed_at > now.plus(MAX_CLOCK_DIFFERENCE);
    record.deleted_at.is_none() && !is_from_future && now.since(record.observed_at) < MAX_AGE
}

/// The key that a change replaces, and all former keys after the change.
struct ReplacedKey {
    previous: Option<KmsKeyArn>,
    retention: Retention,
    former: Vec<FormerKey>,
}

fn replaced_key(record: &KeyRecord, new: Option<&KmsKeyArn>, at: Timestamp) -> ReplacedKey {
    let change = Observation {
        resource: record.resource.clone(),
        key: new.cloned(),
        observed_at: at,
        created: None,
        retention: Retention::NotKnown,
    };
    let after = KeyRecord::observe(Some(record.clone()), &change);
    ReplacedKey { previous: record.key.clone(), retention: record.retention, former: after.former_keys(at) }
}

// === impl PriorState ===

impl PriorState {
    /// Reads the health of all keys that are former ones after the change.
    pub(super) async fn load_former_health(
        &mut self,
        cx: &Context,
        access: &Access,
        new: Option<&KmsKeyArn>,
    ) {
        let Some(record) = &self.record else { return };
        let former = replaced_key(record, new, cx.ports().clock.now()).former;
        let keys: Vec<KmsKeyArn> = former.into_iter().map(|former| former.key).collect();
        if keys.is_empty() {
            return;
        }
        let deadline = (upstream::now() + TIMEOUT).min(cx.call.deadline);
        self.health = Box::pin(key_health::fetch_all(cx.ports(), access, keys, deadline)).await;
    }

    /// The current key. `None` if there is none, or if it is unknown.
    pub(super) fn key(&self) -> Option<&KmsKeyArn> {
        self.record.as_ref()?.key.as_ref()
    }

    /// The response to the change. `accepted` is when AWS accepted it, and `None` for a dry run.
    pub(super) fn into_changed(
        self,
        resource: Resource,
        key: Option<(KmsKeyArn, KmsKeyId)>,
        accepted: Option<Timestamp>,
        now: Timestamp,
        aws_request_id: Box<str>,
    ) -> Changed {
        let Self { group, observation: _, record, results_have_key, health } = self;
        let (key, requested_key) = key.map_or((None, None), |(key, requested)| (Some(key), Some(requested)));
        let ReplacedKey { previous, retention, mut former } = match &record {
            Some(record) => replaced_key(record, key.as_ref(), now),
            None => ReplacedKey { previous: None, retention: Retention::NotKnown, former: Vec::new() },
        };
        for former in &mut former {
            if let Some(found) = health.get(&former.key) {
                (former.health, former.deletion) = *found;
            }
        }
        let association = KeyAssociation {
            resource,
            // AWS accepts only a key that CloudWatch Logs can use at that moment.
            health: if key.is_some() && accepted.is_some() {
                KeyHealth::Usable
            } else {
                KeyHealth::NotChecked
            },
            key,
            requested_key,
            previous_key: previous,
            state: if accepted.is_some() { AssociationState::Settling } else { AssociationState::Unknown },
            accepted,
            key_deletion: None,
            class: group.and_then(|group| group.class),
            retention: retention.length(),
            former,
            source: if accepted.is_some() { Source::Recorded } else { Source::Live },
        };
        // AWS never returns the key of query results, so a missing record of them is no failed read.
        let prior_key_read = record.is_some() || association.resource.target == Target::QueryResults;
        let input = warnings::WarningInput { prior_key_read, results_have_key };
        let warnings = warnings::change_warnings(&association, input);
        Changed { association, event: None, aws_request_id, warnings }
    }
}
