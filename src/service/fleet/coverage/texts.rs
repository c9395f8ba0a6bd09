//! Words a finding for people: what is wrong, and what to do.

use crate::domain::{
    arn::KmsKeyArn,
    association::Target,
    fleet::{Finding, FindingKind},
};

/// What is wrong. For an exempt resource, the reason of the exemption.
pub(super) fn message(finding: &Finding) -> String {
    let what = what(&finding.resource.target);
    let wanted = key_text(finding.wanted.as_ref(), "the key that the rule requires");
    match finding.kind {
        FindingKind::OtherKey => {
            format!(
                "{what} the key {}, but the rule requires {wanted}",
                key_text(finding.current.as_ref(), "unknown")
            )
        }
        FindingKind::NoKey => format!("{what} no KMS key, but the rule requires {wanted}"),
        FindingKind::KeyUnhealthy => {
            format!("{what} the required key {wanted}, which is disabled, scheduled for deletion or deleted")
        }
        FindingKind::Exempt => match &finding.exemption {
            Some(reason) => reason.to_string(),
            None => "an exemption of the rule applies".to_owned(),
        },
        FindingKind::Unknown => {
            "the service does not know the current key, or the key that the rule requires".to_owned()
        }
        FindingKind::NoRule => "no rule selects the log group".to_owned(),
        FindingKind::Conflict => {
            format!("the rules {} have the same priority and require different keys", rules(finding))
        }
        FindingKind::Flapping => {
            let repairs = finding.failure.as_ref().map_or("several repairs", |failure| &*failure.message);
            format!(
                "{what} lost the required key {wanted} again after {repairs}, so the rule leaves it alone"
            )
        }
    }
}

/// What is wrong, in a few words.
pub(super) fn title(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::OtherKey => "The key is not the one that the rule requires",
        FindingKind::NoKey => "No KMS key is set",
        FindingKind::KeyUnhealthy => "The required key cannot be used",
        FindingKind::Exempt => "An exemption of the rule applies",
        FindingKind::Unknown => "The key is not known",
        FindingKind::NoRule => "No rule selects the log group",
        FindingKind::Conflict => "Rules require different keys",
        FindingKind::Flapping => "The required key is removed again and again",
    }
}

/// What to do. Empty if nothing needs to be done.
pub(super) fn remedy(finding: &Finding) -> String {
    let advice = match finding.kind {
        FindingKind::Exempt | FindingKind::NoRule => return String::new(),
        FindingKind::Flapping => {
            let search = match &finding.changed_by {
                Some(actor) => format!("find out why {actor} changes the key"),
                None => "find in CloudTrail who changes the key".to_owned(),
            };
            return format!("{search}, stop the changes, and call EvaluateEncryptionRule");
        }
        FindingKind::Conflict => {
            return format!("give the rules {} different priorities, or the same key", rules(finding));
        }
        FindingKind::OtherKey | FindingKind::NoKey => {
            "set the key with AssociateKmsKey, or set the rule's mode to RULE_MODE_ENFORCE"
        }
        FindingKind::KeyUnhealthy => {
            "enable the key in KMS or cancel its deletion, or let the rule require another key"
        }
        FindingKind::Unknown => "call EvaluateEncryptionRule when the account can be read and the key exists",
    };
    finding.failure.as_ref().map_or_else(|| advice.to_owned(), |failure| failure.message.to_string())
}

fn what(target: &Target) -> &'static str {
    match target {
        Target::LogGroup(_) => "the log group has",
        Target::QueryResults => "the account's query results have",
    }
}

fn key_text<'k>(key: Option<&'k KmsKeyArn>, otherwise: &'k str) -> &'k str {
    key.map_or(otherwise, KmsKeyArn::as_str)
}

fn rules(finding: &Finding) -> String {
    let all = finding.rule.iter().chain(&finding.other_rules);
    all.map(AsRef::as_ref).collect::<Vec<&str>>().join(" and ")
}
