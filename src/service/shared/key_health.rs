//! The health of keys, as far as the assumed role may read it.

use std::{collections::HashMap, time::Instant};

use futures_util::{StreamExt as _, stream};

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::KeyAssociation,
        authorization::Access,
        key::{KeyHealth, KeyMetadata},
        time::Timestamp,
    },
    ports::UpstreamError,
    service::state::Dependencies,
};

/// Most keys that one answer reads; the health of the rest is `NOT_CHECKED`.
const MAX_KEYS: usize = 100;
/// Keys that are read at the same time.
const CONCURRENCY: usize = 8;

/// A key's health, and when it will be deleted.
pub(in crate::service) type Health = (KeyHealth, Option<Timestamp>);

/// The association with the health of its key and of its former keys.
pub(in crate::service) async fn with_health(
    ports: &Dependencies,
    access: &Access,
    mut association: KeyAssociation,
    deadline: Instant,
) -> KeyAssociation {
    let former = association.former.iter().map(|former| &former.key);
    let keys = association.key.iter().chain(former).cloned().collect();
    let found = fetch_all(ports, access, keys, deadline).await;
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

/// The health of these keys, of at most [`MAX_KEYS`].
pub(in crate::service) async fn fetch_all(
    ports: &Dependencies,
    access: &Access,
    mut keys: Vec<KmsKeyArn>,
    deadline: Instant,
) -> HashMap<KmsKeyArn, Health> {
    keys.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    keys.dedup();
    keys.truncate(MAX_KEYS);
    stream::iter(keys)
        .map(|key| async move {
            let named = KmsKeyId::Arn(key.clone());
            let described = ports.keys.describe(access, &named, deadline).await;
            (key, health_of(described.result))
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

/// The health that a description shows. A key that cannot be read takes nothing from the answer.
pub(in crate::service) fn health_of(described: Result<Option<KeyMetadata>, UpstreamError>) -> Health {
    match described {
        Ok(Some(KeyMetadata { state, deletion, .. })) => (state.health(), deletion),
        Ok(None) => (KeyHealth::NotFound, None),
        Err(_) => (KeyHealth::NotChecked, None),
    }
}
