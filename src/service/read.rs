//! Tells what is in force: read from AWS for a log group; for query results from our own record, or as
//! a query shows it.

use std::{collections::HashMap, time::Instant};

use futures_util::{StreamExt as _, stream};

use super::{
    Error, KeyBroker, audit_context::AuditContext, execute_change::upstream_outcome,
    observation_buffer::observation, query_results_probe::ObservedKey, require_scope, resolve,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{
            AssociationState, GetKeyAssociation, KeyAssociation, LogGroupName, PROPAGATION_DELAY, Resource,
            Source, Target,
        },
        authorization::Access,
        call::Call,
        history::KeyRecord,
        key::{KeyHealth, KeyMetadata},
        principal::{Principal, Scope},
        request::UnresolvedResource,
        time::Timestamp,
    },
    ports::{
        LogGroup, UpstreamError,
        limit::{Operation, QuotaKey},
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
        principal: &Principal,
        request: UnresolvedResource,
    ) -> Result<KeyAssociation, Error> {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let result = self.fetch(call, principal, request, &mut audit).await;
        match &result {
            Ok(_) => audit.read(&self.ports),
            Err(error) => audit.record_refusal(&self.ports, error),
        }
        result
    }

    async fn fetch(
        &self,
        call: &Call,
        principal: &Principal,
        request: UnresolvedResource,
        audit: &mut AuditContext,
    ) -> Result<KeyAssociation, Error> {
        require_scope(principal, Scope::Read)?;
        let tenant = self.tenant(principal)?;
        let resource = resolve::resolve_resource(&tenant, request)?;
        audit.resource(&resource);
        let command = GetKeyAssociation { resource };
        let permit = self.authorize(call, principal, &tenant, command, audit)?;
        let (access, resource) = (permit.access(), &permit.command().resource);
        let association = match &resource.target {
            Target::QueryResults => {
                let key = self.results_key(call, principal, access, resource, audit).await;
                query_results_association(
                    resource,
                    key.map_err(Error::RecordUnavailable)?,
                    self.ports.clock.now(),
                )
            }
            Target::LogGroup(name) => {
                let group = self.find_log_group(access, name, call.deadline, audit).await?;
                let record = self.load_records(std::slice::from_ref(resource)).await.pop();
                live_association(resource.clone(), group, record, self.ports.clock.now())
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
        audit: &mut AuditContext,
    ) -> Result<LogGroup, Error> {
        let quota_key =
            QuotaKey { location: access.location().clone(), operation: Operation::DescribeLogGroups };
        loop {
            let permit = self.ports.limiter.acquire(&quota_key, &access.tenant().id, deadline).await;
            let permit = permit.map_err(|none| Error::BudgetExhausted { retry_after: none.retry_after })?;
            let at = self.ports.clock.now();
            let found = self.ports.log_groups.find(access, name, deadline).await;
            permit.used(upstream_outcome(&found.result));
            audit.record_aws_call(found.via);
            return match found.result {
                Ok(Some(group)) => {
                    self.observe([observation(access.location(), &group, at)]);
                    Ok(group)
                }
                Ok(None) => {
                    Err(Error::LogGroupNotFound { name: name.clone(), location: access.location().clone() })
                }
                Err(UpstreamError::Throttled { .. }) => continue,
                Err(error) => Err(read_error(error, deadline)),
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
        let found = self.key_healths(access, keys, deadline).await;
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
    pub(super) async fn key_healths(
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
fn query_results_association(resource: &Resource, key: ObservedKey, now: Timestamp) -> KeyAssociation {
    let ObservedKey { record, source } = key;
    let state = match &record {
        None => AssociationState::Unknown,
        Some(record) => derive_state(record.key.as_ref(), record.accepted, now),
    };
    let former = record.as_ref().map(|record| record.former_keys(now)).unwrap_or_default();
    let (key, previous_key, accepted) =
        record.map_or((None, None, None), |record| (record.key, record.previous_key, record.accepted));
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
pub(super) fn live_association(
    resource: Resource,
    group: LogGroup,
    record: Option<KeyRecord>,
    now: Timestamp,
) -> KeyAssociation {
    let observation = observation(&resource.location, &group, now);
    let record = KeyRecord::observe(record, &observation);
    // Where AWS shows another key, someone else has set it since: our record says nothing of that.
    let former = record.former_keys(now);
    let KeyRecord { key, previous_key, accepted, .. } = record;
    KeyAssociation {
        resource,
        state: derive_state(key.as_ref(), accepted, now),
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

fn derive_state(key: Option<&KmsKeyArn>, accepted: Option<Timestamp>, now: Timestamp) -> AssociationState {
    match (key, accepted) {
        (_, Some(accepted)) if now < accepted.plus(PROPAGATION_DELAY) => AssociationState::Settling,
        (Some(_), _) => AssociationState::InForce,
        (None, _) => AssociationState::DefaultEncryption,
    }
}

/// How a read ends that AWS did not answer with success.
pub(super) fn read_error(error: UpstreamError, deadline: Instant) -> Error {
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
