//! Creates and changes keys, for tests and trials.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;

use super::{
    read::{metadata, seconds},
    resolve::resolve,
    tags,
};
use crate::{
    api_error::ApiError,
    authorizer::Context,
    policy::{evaluation::Policy, shorthand},
    state::keys::Key,
    wire::answer::Answer,
};

const SECONDS_A_DAY: i64 = 86_400;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateKey {
    policy: Option<String>,
    #[serde(default)]
    description: String,
    key_usage: Option<String>,
    key_spec: Option<String>,
    #[serde(default)]
    multi_region: bool,
    #[serde(default)]
    tags: Vec<tags::Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    key_id: String,
    policy: Option<String>,
    pending_window_in_days: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutAlias {
    alias_name: String,
    target_key_id: String,
}

pub(super) fn create_key(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: CreateKey = context.call.input()?;
    context.authorize("kms:CreateKey", &["*"], &[])?;
    let (account, region) = (&context.account.id, &context.region.name);
    let policy = match input.policy {
        Some(text) => text,
        // KMS's default key policy allows only the account's own principals.
        None => shorthand::key_policy("lacks-logs", account, region).unwrap_or_default().to_string(),
    };
    let id = uuid::Uuid::new_v4().to_string();
    let id = if input.multi_region { format!("mrk-{}", id.replace('-', "")) } else { id };
    let key = context.region.keys().put(Key {
        arn: context.region.arn("kms", &format!("key/{id}")),
        id,
        account_id: account.clone(),
        spec: input.key_spec.unwrap_or_else(|| "SYMMETRIC_DEFAULT".to_owned()),
        usage: input.key_usage.unwrap_or_else(|| "ENCRYPT_DECRYPT".to_owned()),
        state: "Enabled".to_owned(),
        manager: "CUSTOMER".to_owned(),
        description: input.description,
        multi_region: input.multi_region,
        created: context.now,
        deletion: None,
        policy: read_policy(&policy)?,
        tags: tags::read(input.tags)?,
    });
    Ok(Answer::Json(json!({ "KeyMetadata": metadata(&key) })))
}

pub(super) fn put_alias(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: PutAlias = context.call.input()?;
    let creating = context.call.operation == "CreateAlias";
    let action = format!("kms:{}", context.call.operation);
    let key = resolve(context, &action, &input.target_key_id)?;
    context.authorize_key(&key, &action, &[])?;
    if !input.alias_name.starts_with("alias/") || input.alias_name.starts_with("alias/aws/") {
        let text = "Alias must start with the prefix \"alias/\" and not \"alias/aws/\"";
        return Err(ApiError::new("InvalidAliasNameException", text));
    }
    let mut keys = context.region.keys();
    match (creating, keys.aliased(&input.alias_name)) {
        (true, Some(_)) => {
            let text = format!("An alias with the name {} already exists", input.alias_name);
            Err(ApiError::new("AlreadyExistsException", text))
        }
        (false, None) => {
            let text = format!("Alias {} is not found.", input.alias_name);
            Err(ApiError::key_not_found(text))
        }
        (true, None) | (false, Some(_)) => {
            keys.put_alias(&input.alias_name, &key.id);
            Ok(Answer::Empty)
        }
    }
}

pub(super) fn put_key_policy(context: &Context<'_>) -> Result<Answer, ApiError> {
    change(context, |key, input| {
        key.policy = read_policy(input.policy.as_deref().unwrap_or_default())?;
        Ok(Answer::Empty)
    })
}

pub(super) fn set_state(context: &Context<'_>, state: &str) -> Result<Answer, ApiError> {
    change(context, |key, _| {
        if key.state == "PendingDeletion" {
            let text = format!("{} is pending deletion.", key.arn);
            return Err(ApiError::new("KMSInvalidStateException", text));
        }
        state.clone_into(&mut key.state);
        Ok(Answer::Empty)
    })
}

pub(super) fn schedule_deletion(context: &Context<'_>) -> Result<Answer, ApiError> {
    change(context, |key, input| {
        let days = input.pending_window_in_days.unwrap_or(30).clamp(7, 30);
        let wait = SignedDuration::from_secs(days * SECONDS_A_DAY);
        let date = context.now.saturating_add(wait).unwrap_or(context.now);
        key.deletion = Some(date);
        "PendingDeletion".clone_into(&mut key.state);
        Ok(Answer::Json(json!({
            "KeyId": key.arn,
            "DeletionDate": seconds(date),
            "KeyState": key.state,
            "PendingWindowInDays": days,
        })))
    })
}

pub(super) fn cancel_deletion(context: &Context<'_>) -> Result<Answer, ApiError> {
    change(context, |key, _| {
        key.deletion = None;
        "Disabled".clone_into(&mut key.state);
        Ok(Answer::Json(json!({ "KeyId": key.arn })))
    })
}

fn change(
    context: &Context<'_>,
    apply: impl FnOnce(&mut Key, &Change) -> Result<Answer, ApiError>,
) -> Result<Answer, ApiError> {
    let input: Change = context.call.input()?;
    let action = format!("kms:{}", context.call.operation);
    let key = resolve(context, &action, &input.key_id)?;
    context.authorize_key(&key, &action, &[])?;
    let mut changed = Key::clone(&key);
    let answer = apply(&mut changed, &input)?;
    let owner = context.state.account(&key.account_id);
    if let Some(region) = owner.and_then(|account| account.region(&context.region.name)) {
        region.keys().put(changed);
    }
    Ok(answer)
}

fn read_policy(text: &str) -> Result<Policy, ApiError> {
    text.parse().map_err(|_error| {
        let text = "The new key policy is not a policy document.";
        ApiError::new("MalformedPolicyDocumentException", text)
    })
}
