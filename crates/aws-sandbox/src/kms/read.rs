//! Describes and lists keys, aliases and key policies.

use serde::Deserialize;
use serde_json::{Value, json};

use super::resolve::{own_key, resolve};
use crate::{
    api_error::ApiError, authorizer::Context, service::Service, state::keys::Key, validate,
    wire::answer::Answer,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ByKey {
    key_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    key_id: Option<String>,
    limit: Option<usize>,
    marker: Option<String>,
}

pub(super) fn describe_key(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: ByKey = context.call.input()?;
    validate::length(Service::Kms, "keyId", &input.key_id, 2048)?;
    let key = resolve(context, "kms:DescribeKey", &input.key_id)?;
    context.authorize_key(&key, "kms:DescribeKey", &[])?;
    Ok(Answer::Json(json!({ "KeyMetadata": metadata(&key) })))
}

pub(super) fn key_policy(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: ByKey = context.call.input()?;
    let key = own_key(context, "kms:GetKeyPolicy", &input.key_id)?;
    Ok(Answer::Json(json!({ "Policy": key.policy.text(), "PolicyName": "default" })))
}

pub(super) fn list_aliases(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Listing = context.call.input()?;
    context.authorize("kms:ListAliases", &["*"], &[])?;
    let only = match &input.key_id {
        Some(name) => Some(resolve(context, "kms:ListAliases", name)?.id.clone()),
        None => None,
    };
    let prefix = context.region.arn("kms", "");
    let keys = context.region.keys();
    let rows =
        keys.aliases().filter(|(_, id)| only.as_ref().is_none_or(|only| only == *id)).map(|(name, id)| {
            let arn = format!("{prefix}{name}");
            let row = json!({ "AliasName": name, "AliasArn": arn, "TargetKeyId": id });
            (name.clone(), row)
        });
    Ok(page("Aliases", rows.collect(), &input))
}

pub(super) fn list_keys(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Listing = context.call.input()?;
    context.authorize("kms:ListKeys", &["*"], &[])?;
    let keys = context.region.keys();
    let mut rows: Vec<_> = keys
        .keys()
        .map(|key| {
            let row = json!({ "KeyId": key.id, "KeyArn": key.arn });
            (key.id.clone(), row)
        })
        .collect();
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(page("Keys", rows, &input))
}

/// One page of rows sorted by name. The marker is the last name on the page.
fn page(field: &str, rows: Vec<(String, Value)>, input: &Listing) -> Answer {
    let limit = input.limit.unwrap_or(50).clamp(1, 1000);
    let after = input.marker.as_deref().unwrap_or_default();
    let mut rest = rows.into_iter().filter(|(name, _)| name.as_str() > after);
    let page: Vec<(String, Value)> = rest.by_ref().take(limit).collect();
    let marker = rest.next().and(page.last()).map(|(name, _)| name.clone());
    let rows: Vec<Value> = page.into_iter().map(|(_, row)| row).collect();
    let mut answer = json!({ field: rows, "Truncated": marker.is_some() });
    if let (Some(marker), Some(fields)) = (marker, answer.as_object_mut()) {
        fields.insert("NextMarker".to_owned(), marker.into());
    }
    Answer::Json(answer)
}

/// `KeyMetadata`, as `DescribeKey` and `CreateKey` return it.
pub(super) fn metadata(key: &Key) -> Value {
    let mut metadata = json!({
        "AWSAccountId": key.account_id,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": seconds(key.created),
        "Enabled": (key.state == "Enabled"),
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": key.manager,
        "CustomerMasterKeySpec": key.spec,
        "KeySpec": key.spec,
        "MultiRegion": key.multi_region,
    });
    if let Some(fields) = metadata.as_object_mut() {
        if key.is_symmetric() {
            fields.insert("EncryptionAlgorithms".to_owned(), json!(["SYMMETRIC_DEFAULT"]));
        }
        if let Some(date) = key.deletion {
            fields.insert("DeletionDate".to_owned(), json!(seconds(date)));
        }
    }
    metadata
}

/// A time in the protocol's format: seconds since the epoch.
#[expect(clippy::cast_precision_loss, reason = "the protocol's times are floats")]
pub(super) fn seconds(time: jiff::Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
