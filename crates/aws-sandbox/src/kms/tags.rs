//! Lists and changes the tags of keys.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use super::resolve::own_key;
use crate::{
    api_error::ApiError, authorizer::Context, service::Service, state::keys::Key, validate,
    wire::answer::Answer,
};

/// The maximum number of tags on a key (KMS quotas, "Tags per KMS key").
const MAX_TAGS: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    tag_key: String,
    tag_value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: String,
    limit: Option<usize>,
    marker: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

pub(super) fn list(context: &Context<'_>) -> Result<Answer, ApiError> {
    let (input, key) = read_input(context, "kms:ListResourceTags")?;
    let limit = input.limit.unwrap_or(MAX_TAGS).clamp(1, MAX_TAGS);
    let after = input.marker.unwrap_or_default();
    let mut rest = key.tags.iter().filter(|(tag, _)| **tag > after);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let marker = rest.next().and(page.last()).map(|(tag, _)| (*tag).clone());
    let tags: Vec<Value> =
        page.iter().map(|(tag, value)| json!({ "TagKey": tag, "TagValue": value })).collect();
    let mut answer = json!({ "Tags": tags, "Truncated": marker.is_some() });
    if let (Some(marker), Some(fields)) = (marker, answer.as_object_mut()) {
        fields.insert("NextMarker".to_owned(), marker.into());
    }
    Ok(Answer::Json(answer))
}

pub(super) fn put(context: &Context<'_>) -> Result<Answer, ApiError> {
    let (input, key) = read_input(context, "kms:TagResource")?;
    let mut changed = Key::clone(&key);
    changed.tags.extend(read(input.tags)?);
    if changed.tags.len() > MAX_TAGS {
        return Err(ApiError::new("LimitExceededException", "The number of tags exceeds the limit"));
    }
    context.region.keys().put(changed);
    Ok(Answer::Empty)
}

pub(super) fn remove(context: &Context<'_>) -> Result<Answer, ApiError> {
    let (input, key) = read_input(context, "kms:UntagResource")?;
    let mut changed = Key::clone(&key);
    changed.tags.retain(|tag, _| !input.tag_keys.contains(tag));
    context.region.keys().put(changed);
    Ok(Answer::Empty)
}

/// Validates the tags in a request.
pub(super) fn read(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, ApiError> {
    let checked = tags.into_iter().map(|Tag { tag_key, tag_value }| {
        validate::length(Service::Kms, "tags.1.member.tagKey", &tag_key, 128)?;
        if tag_key.starts_with("aws:") {
            return Err(ApiError::new("TagException", "Tags beginning with 'aws:' are reserved."));
        }
        Ok((tag_key, tag_value))
    });
    checked.collect()
}

fn read_input(context: &Context<'_>, action: &str) -> Result<(Input, Arc<Key>), ApiError> {
    let input: Input = context.call.input()?;
    let key = own_key(context, action, &input.key_id)?;
    Ok((input, key))
}
