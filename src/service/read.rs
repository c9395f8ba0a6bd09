//! Tells what is in force: read from AWS for a log group; for query results from our own record, or as
//! a query shows it.

use std::{collections::HashMap, time::Instant};

use futures_util::{StreamExt as _, stream};

use super::{
    Error, KeyBroker, change::feedback, history::sighting, locate, require, trail::Trail, verify::ResultsKey,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        ask::UnresolvedResource,
        association::{
            GetKeyAssociation, KeyAssociation, LogGroupName, Resource, SETTLING, Source, State, Target,
        },
        authorization::Access,
        call::Call,
        history::Known,
        key::{KeyHealth, KeyMetadata},
        principal::{Principal, Scope},
        time::Timestamp,
    },
    ports::{
        LogGroup, UpstreamError,
        limit::{Lane, Operation},
    },
};

/// Most keys whose health one answer looks at; the rest is told as not checked.
const MAX_KEYS: usize = 100;
/// Keys that are looked at side by side.
const KEYS_AT_ONCE: usize = 8;

impl KeyBroker {
    /// The association that is in force.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn get(
        &self,
        call: &Call,
        who: &Principal,
        ask: UnresolvedResource,
    ) -> Result<KeyAssociation, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let result = self.read(call, who, ask, &mut trail).await;
        match &result {
            Ok(_) => trail.read(&self.ports),
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    async fn read(
        &self,
        call: &Call,
        who: &Principal,
        ask: UnresolvedResource,
        trail: &mut Trail,
    ) -> Result<KeyAssociation, Error> {
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let resource = locate::resource(&tenant, ask)?;
        trail.resource(&resource);
        let command = GetKeyAssociation { resource };
        let permit = self.permit(call, who, &tenant, command, trail)?;
        let (access, resource) = (permit.access(), &permit.command().resource);
        let association = match &resource.target {
            Target::QueryResults => {
                let key = self.results_key(call, who, access, resource, trail).await;
                of_query_results(resource, key.map_err(Error::RecordUnavailable)?, self.ports.clock.now())
            }
            Target::LogGroup(name) => {
                let group = self.find_log_group(access, name, call.deadline, trail).await?;
                let known = self.known(std::slice::from_ref(resource)).await.pop();
                live(resource.clone(), group, known, self.ports.clock.now())
            }
        };
        Ok(self.with_health(access, association, call.deadline).await)
    }

    /// The log group as AWS has it now.
    pub(super) async fn find_log_group(
        &self,
        access: &Access,
        name: &LogGroupName,
        deadline: Instant,
        trail: &mut Trail,
    ) -> Result<LogGroup, Error> {
        let lane = Lane { place: access.place().clone(), operation: Operation::DescribeLogGroups };
        loop {
            let turn = self.ports.pace.turn(&lane, &access.tenant().id, deadline).await;
            let turn = turn.map_err(|none| Error::BudgetExhausted { retry_after: none.retry_after })?;
            let at = self.ports.clock.now();
            let found = self.ports.log_groups.find(access, name, deadline).await;
            turn.used(feedback(&found.result));
            trail.via(found.via);
            return match found.result {
                Ok(Some(group)) => {
                    self.saw([sighting(access.place(), &group, at)]);
                    Ok(group)
                }
                Ok(None) => {
                    Err(Error::LogGroupNotFound { name: name.clone(), place: access.place().clone() })
                }
                Err(UpstreamError::Throttled { .. }) => continue,
                Err(error) => Err(ended(error, deadline)),
            };
        }
    }

    /// The association with the health of its key and of its former keys, where the role may look.
    async fn with_health(
        &self,
        access: &Access,
        association: KeyAssociation,
        deadline: Instant,
    ) -> KeyAssociation {
        let mut association = association;
        let former = association.former.iter().map(|former| &former.key);
        let keys = association.key.iter().chain(former).cloned().collect();
        let found = self.healths(access, keys, deadline).await;
        if let Some(found) = association.key.as_ref().and_then(|key| found.get(key)) {
            (association.health, association.key_deletion) = *found;
        }
        for former in &mut association.former {
            if let Some(found) = found.get(&former.key) {
                (former.health, former.deletion) = *found;
            }
        }
        association
    }

    /// The health of these keys, as many of them as one answer looks at; the rest is not checked.
    pub(super) async fn healths(
        &self,
        access: &Access,
        mut keys: Vec<KmsKeyArn>,
        deadline: Instant,
    ) -> HashMap<KmsKeyArn, (KeyHealth, Option<Timestamp>)> {
        keys.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        keys.dedup();
        keys.truncate(MAX_KEYS);
        stream::iter(keys)
            .map(|key| async move {
                let health = self.health(access, &key, deadline).await;
                (key, health)
            })
            .buffer_unordered(KEYS_AT_ONCE)
            .collect()
            .await
    }

    /// A key's health, and when it will be deleted.
    async fn health(
        &self,
        access: &Access,
        key: &KmsKeyArn,
        deadline: Instant,
    ) -> (KeyHealth, Option<Timestamp>) {
        let key = KmsKeyId::Arn(key.clone());
        match self.ports.keys.describe(access, &key, deadline).await.result {
            Ok(Some(KeyMetadata { state, deletion, .. })) => (state.health(), deletion),
            Ok(None) => (KeyHealth::NotFound, None),
            // That the key cannot be looked at takes nothing from the answer.
            Err(_) => (KeyHealth::NotChecked, None),
        }
    }
}

/// The association of query results, as far as it is known.
fn of_query_results(resource: &Resource, key: ResultsKey, now: Timestamp) -> KeyAssociation {
    let ResultsKey { known, source } = key;
    let state = match &known {
        None => State::Unknown,
        Some(known) => state(known.key.as_ref(), known.accepted, now),
    };
    let former = known.as_ref().map(|known| known.former_keys(now)).unwrap_or_default();
    let (key, previous_key, accepted) =
        known.map_or((None, None, None), |known| (known.key, known.previous_key, known.accepted));
    KeyAssociation {
        resource: resource.clone(),
        key,
        requested_key: None,
        previous_key,
        state,
        accepted,
        health: KeyHealth::NotChecked,
        key_deletion: None,
        class: None,
        retention: None,
        former,
        source,
    }
}

/// A log group's association as AWS has it, with what our record knows beside.
pub(super) fn live(
    resource: Resource,
    group: LogGroup,
    known: Option<Known>,
    now: Timestamp,
) -> KeyAssociation {
    let seen = sighting(&resource.place, &group, now);
    let known = Known::with(known, &seen);
    // Where AWS shows another key, someone else has set it since: our record says nothing of that.
    let former = known.former_keys(now);
    let Known { key, previous_key, accepted, .. } = known;
    KeyAssociation {
        resource,
        state: state(key.as_ref(), accepted, now),
        key,
        requested_key: None,
        previous_key,
        accepted,
        health: KeyHealth::NotChecked,
        key_deletion: None,
        class: group.class,
        retention: group.retention,
        former,
        source: Source::Live,
    }
}

fn state(key: Option<&KmsKeyArn>, accepted: Option<Timestamp>, now: Timestamp) -> State {
    match (key, accepted) {
        (_, Some(accepted)) if now < accepted.plus(SETTLING) => State::Settling,
        (Some(_), _) => State::InForce,
        (None, _) => State::DefaultEncryption,
    }
}

/// How a read ends that AWS did not answer with success.
pub(super) fn ended(error: UpstreamError, deadline: Instant) -> Error {
    match error {
        UpstreamError::Refused { refusal, answer } => Error::Refused { refusal, answer },
        UpstreamError::RoleNotAssumable { answer } => Error::RoleNotAssumable { answer },
        UpstreamError::Conflict { answer } => Error::Conflict { answer },
        UpstreamError::Throttled { answer } => {
            Error::Throttled { retry_after: std::time::Duration::from_secs(1), answer }
        }
        UpstreamError::Fault { answer } => Error::AwsUnavailable { answer: Some(answer), source: None },
        UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => {
            if tokio::time::Instant::now().into_std() >= deadline {
                Error::DeadlineBeforeAws
            } else {
                Error::AwsUnavailable { answer: None, source: Some(source) }
            }
        }
    }
}
