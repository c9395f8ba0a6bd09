//! Decides how a log group counts.

use super::{
    listing::{Answer, Listing},
    model::{Finding, Findings, QUERY_RESULTS, Resource, Status},
};
use crate::proto::{BulkError, KeyAssociation, KeyHealth, key_association};

/// The resources of a location. Removes their findings from `findings`.
pub(super) fn resources(listing: &Listing, findings: &mut Findings) -> Vec<Resource> {
    let groups = listing.groups.iter().flatten();
    groups
        .map(|group| match (&listing.answer, findings.remove(&(listing.location.clone(), name(group)))) {
            (_, Some(found)) => found,
            (Err(error), None) => not_known(group, error),
            (Ok(answer), None) => by_answer(group, answer),
        })
        .collect()
}

fn by_answer(group: &KeyAssociation, answer: &Answer) -> Resource {
    match answer {
        Answer::AnyKey => by_key(group, false, ""),
        Answer::KeyArn(key) => by_key(group, group.kms_key_arn != *key, key),
        Answer::WithOtherKey(others) => by_key(group, others.contains(&group.resource_arn), ""),
        Answer::CompliantKeys(keys) if keys.contains(&group.kms_key_arn) => {
            resource(group, Status::Compliant, None)
        }
        // The service has counted no log group with this key as compliant.
        Answer::CompliantKeys(_) => {
            let finding = Finding {
                reason: "NOT_EVALUATED".to_owned(),
                message: "the rules were not evaluated since the log group or its key changed".to_owned(),
                remedy: "wait for the next evaluation, or call EvaluateEncryptionRule".to_owned(),
                ..Finding::default()
            };
            resource(group, Status::Unknown, Some(finding))
        }
    }
}

/// Without rules: a log group must have the expected key, or any key, and it must be usable.
fn by_key(group: &KeyAssociation, has_other_key: bool, expected: &str) -> Resource {
    let (status, message, remedy) = match group.key_health() {
        _ if group.kms_key_arn.is_empty() => {
            (Status::NoKey, "the log group has no KMS key", "set a key with `logkey associate`")
        }
        _ if has_other_key => (
            Status::OtherKey,
            "the log group has another key than the expected one",
            "set the expected key with `logkey associate`",
        ),
        KeyHealth::Disabled | KeyHealth::PendingDeletion | KeyHealth::NotFound => (
            Status::KeyUnhealthy,
            "the key is disabled, scheduled for deletion or deleted",
            "enable the key, cancel its deletion, or set another key",
        ),
        KeyHealth::Unspecified | KeyHealth::Usable | KeyHealth::NotChecked => {
            return resource(group, Status::Compliant, None);
        }
    };
    let finding = Finding {
        required_key: expected.to_owned(),
        message: message.to_owned(),
        remedy: remedy.to_owned(),
        ..Finding::default()
    };
    resource(group, status, Some(finding))
}

/// The service did not say which key the log group must have.
fn not_known(group: &KeyAssociation, error: &BulkError) -> Resource {
    if group.kms_key_arn.is_empty() {
        return by_key(group, false, "");
    }
    let finding =
        Finding { reason: error.reason.clone(), message: error.message.clone(), ..Finding::default() };
    resource(group, Status::Unknown, Some(finding))
}

fn resource(group: &KeyAssociation, status: Status, finding: Option<Finding>) -> Resource {
    Resource {
        account: group.account_id.clone(),
        region: group.region.clone(),
        name: name(group),
        arn: group.resource_arn.clone(),
        status,
        key: group.kms_key_arn.clone(),
        finding,
    }
}

fn name(group: &KeyAssociation) -> String {
    match &group.resource {
        Some(key_association::Resource::LogGroupName(name)) => name.clone(),
        Some(key_association::Resource::QueryResults(_)) | None => QUERY_RESULTS.to_owned(),
    }
}

#[cfg(test)]
mod tests;
