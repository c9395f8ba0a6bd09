//! Reads the current association of a resource. For a log group it comes from AWS, for query results from
//! the service's own record or from a query.

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{
            AssociationState, GetKeyAssociation, KeyAssociation, PROPAGATION_DELAY, Resource, Source, Target,
        },
        history::KeyRecord,
        key::KeyHealth,
        principal::Scope,
        request::UnresolvedResource,
        time::Timestamp,
    },
    ports::LogGroup,
    service::{
        context::Context,
        error::{Error, StorageError},
        shared::{
            key_health, log_groups,
            observation_buffer::observation,
            query_results_probe::{self, ObservedKey},
            resolve,
        },
    },
};

/// Reads the current association of a resource.
///
/// # Errors
///
/// [`Error`], if the caller may not read the resource, or if neither AWS nor the store could be read.
pub async fn get(mut cx: Context, request: UnresolvedResource) -> Result<KeyAssociation, Error> {
    let result = fetch(&mut cx, request).await;
    cx.record_read(result)
}

async fn fetch(cx: &mut Context, request: UnresolvedResource) -> Result<KeyAssociation, Error> {
    cx.require(Scope::Read)?;
    let resource = resolve::resolve_resource(&*cx.tenant()?, request)?;
    cx.audit.resource(&resource);
    cx.call.summary.set_resource(&resource);
    let authorized = cx.authorize(GetKeyAssociation { resource })?;
    let (access, resource) = (authorized.access(), &authorized.command().resource);
    let deadline = cx.call.deadline;
    let association = match &resource.target {
        Target::QueryResults => {
            let key = query_results_probe::results_key(cx, access, resource).await;
            let key = key.map_err(StorageError::RecordUnavailable)?;
            query_results_association(resource, key, cx.ports().clock.now())
        }
        Target::LogGroup(name) => {
            let group = log_groups::find(cx, access, name, deadline).await?;
            let record = log_groups::load_records(cx, std::slice::from_ref(resource)).await.pop();
            live_association(resource.clone(), group, record, cx.ports().clock.now())
        }
    };
    Ok(key_health::with_health(cx.ports(), access, association, deadline).await)
}

/// The association of query results. Its state is unknown without a record.
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

/// A log group's association as AWS returned it, completed from the service's own record.
pub(in crate::service) fn live_association(
    resource: Resource,
    group: LogGroup,
    record: Option<KeyRecord>,
    now: Timestamp,
) -> KeyAssociation {
    let observation = observation(&resource.location, &group, now);
    let record = KeyRecord::observe(record, &observation);
    // If AWS returns a key that the record does not have, another tool has set it since. The record then has
    // no time of acceptance.
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
