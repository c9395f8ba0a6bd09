//! What is known of a resource before it is changed: which key it has, which it had, and what that
//! means once the change is made.

use std::{panic::AssertUnwindSafe, time::Duration};

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
        shared::{key_health, log_groups, observation_buffer::observation, query_results_probe, upstream},
    },
};

/// How long what is known of a log group counts as good enough not to look again before its key is
/// replaced: AWS forgets former keys, so that a look at that moment is the last that can be had.
const MAX_AGE: Duration = Duration::from_hours(1);
/// How long a look may take that only helps.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How much a change needs to know of what it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    /// It cannot be made without.
    Required,
    /// It is made all the same where AWS does not tell, and then the answer says so.
    BestEffort,
}

/// What is known of a resource before it is changed.
#[derive(Debug)]
pub(super) struct PriorState {
    /// As AWS has it, where it was looked at.
    pub(super) group: Option<LogGroup>,
    /// What the look showed, to be kept with the intent.
    pub(super) observation: Option<Observation>,
    record: Option<KeyRecord>,
    results_have_key: bool,
    /// Of former keys.
    health: Vec<(KmsKeyArn, KeyHealth, Option<Timestamp>)>,
}

/// Loads what is known of a resource. The caller holds the resource's lock.
pub(super) async fn load(
    cx: &mut Context,
    access: &Access,
    resource: &Resource,
    requirement: Requirement,
) -> Result<PriorState, Error> {
    let results = Resource { target: Target::QueryResults, ..resource.clone() };
    let (mut record, mut results_have_key) = (None, false);
    for it in log_groups::load_records(cx, &[resource.clone(), results]).await {
        if it.resource.target == Target::QueryResults {
            results_have_key = it.key.is_some();
        }
        if it.resource == *resource {
            record = Some(it);
        }
    }
    let now = cx.ports().clock.now();
    let group = match (requirement, &resource.target) {
        (Requirement::Required, _) => log_groups::read_current_key(cx, access, resource).await?,
        (Requirement::BestEffort, Target::LogGroup(name))
            if !record.as_ref().is_some_and(|it| is_fresh(it, now)) =>
        {
            let deadline = (upstream::now() + TIMEOUT).min(cx.call.deadline);
            let read = AssertUnwindSafe(log_groups::find(cx, access, name, deadline));
            // What only helps fails nothing, however it ends.
            let found = read.catch_unwind().await.unwrap_or(Err(Error::Internal("a read panicked")));
            found.inspect_err(|error| tracing::debug!(%error, "the prior state was not read")).ok()
        }
        (Requirement::BestEffort, _) => None,
    };
    let observation = match (requirement, &resource.target) {
        (Requirement::Required, Target::QueryResults) => {
            query_results_probe::prior_results_key(cx, access, record.as_ref()).await
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
    Ok(PriorState { group, observation, record, results_have_key, health: Vec::new() })
}

/// Whether nobody is likely to have changed it elsewhere since.
fn is_fresh(record: &KeyRecord, now: Timestamp) -> bool {
    record.deleted_at.is_none() && now < record.observed_at.plus(MAX_AGE)
}

/// What a change leaves behind.
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
    /// Reads the health of the keys that the change makes former ones, and of those before them.
    pub(super) async fn load_former_health(
        &mut self,
        cx: &Context,
        access: &Access,
        new: Option<&KmsKeyArn>,
    ) {
        let Some(record) = &self.record else { return };
        let former = replaced_key(record, new, cx.ports().clock.now()).former;
        let keys: Vec<KmsKeyArn> = former.into_iter().map(|former| former.key).collect();
        let deadline = (upstream::now() + TIMEOUT).min(cx.call.deadline);
        let health = key_health::fetch_all(cx.ports(), access, keys, deadline).await;
        self.health = health.into_iter().map(|(key, (health, deletion))| (key, health, deletion)).collect();
    }

    /// The key that is in force, as far as is known.
    pub(super) fn key(&self) -> Option<&KmsKeyArn> {
        self.record.as_ref()?.key.as_ref()
    }

    /// The answer to the change: `accepted` is when AWS took it, and none where it was not made.
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
            if let Some((_, health, deletion)) = health.iter().find(|(key, ..)| *key == former.key) {
                (former.health, former.deletion) = (*health, *deletion);
            }
        }
        let association = KeyAssociation {
            resource,
            // AWS takes no key that CloudWatch Logs cannot use at that moment.
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
        // That query results were never set through this service is not that they have no key.
        let is_known = record.is_some() || association.resource.target == Target::QueryResults;
        let warnings =
            warnings::change_warnings(&association, warnings::WarningInput { is_known, results_have_key });
        Changed { association, event: None, aws_request_id, warnings }
    }
}
