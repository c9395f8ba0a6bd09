//! Reads the health of keys, as far as the assumed role may read them.

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

/// The maximum number of keys that one response reads. The health of the rest is `NOT_CHECKED`.
const MAX_KEYS: usize = 100;
/// The number of keys that one call reads at the same time.
const CONCURRENCY: usize = 8;

/// A key's health, and when KMS deletes it.
pub(in crate::service) type Health = (KeyHealth, Option<Timestamp>);

/// Adds the health of the key and of the former keys to an association.
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

/// Reads the health of these keys. Omits the keys beyond [`MAX_KEYS`].
pub(in crate::service) async fn fetch_all(
    ports: &Dependencies,
    access: &Access,
    mut keys: Vec<KmsKeyArn>,
    deadline: Instant,
) -> HashMap<KmsKeyArn, Health> {
    keys.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    keys.dedup();
    keys.truncate(MAX_KEYS);
    stream::iter(keys)
        .map(|key| async move {
            let key_id = KmsKeyId::Arn(key.clone());
            let described = ports.keys.describe(access, &key_id, deadline).await;
            (key, health_of(described.result))
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

/// The health according to the description of a key. A key that cannot be read does not fail the call.
pub(in crate::service) fn health_of(described: Result<Option<KeyMetadata>, UpstreamError>) -> Health {
    match described {
        Ok(Some(KeyMetadata { state, deletion, .. })) => (state.health(), deletion),
        Ok(None) => (KeyHealth::NotFound, None),
        Err(_) => (KeyHealth::NotChecked, None),
    }
}
