//! What a caller should know although the call succeeded: which keys still matter, and which are in
//! danger.

use crate::domain::{
    arn::KmsKeyArn,
    association::{KeyAssociation, Target, Warning},
    history::{FormerKey, Protection},
    key::KeyHealth,
    time::Timestamp,
};

/// What a change found beside its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct WarningInput {
    /// Whether anything was known of the resource before.
    pub(super) is_known: bool,
    /// Whether the account's query results have a key of their own, as far as is recorded.
    pub(super) results_have_key: bool,
}

/// Of an association that stands.
#[must_use]
pub fn current_warnings(association: &KeyAssociation) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(key) = &association.key {
        let codes = ["KEY_DISABLED", "KEY_PENDING_DELETION", "KEY_NOT_FOUND"];
        let what = "which encrypts what is written now,";
        warnings.extend(at_risk(codes, key, what, association.health, association.key_deletion));
    }
    warnings.extend(association.former.iter().flat_map(|key| former_key_warnings(association, key)));
    warnings
}

/// Of a change that was made, or would be.
pub(super) fn change_warnings(association: &KeyAssociation, about: WarningInput) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let (Some(key), Some(previous)) = (&association.key, &association.previous_key)
        && key != previous
    {
        warnings.push(Warning {
            code: "KEY_REPLACED".into(),
            message: format!(
                "the key {previous} was set before; what was written under it stays under it until its retention ends, so keep that key enabled"
            ),
        });
    }
    warnings.extend(association.former.iter().flat_map(|key| former_key_warnings(association, key)));
    if !about.is_known {
        warnings.push(Warning {
            code: "FORMER_KEY_NOT_KNOWN".into(),
            message: "which key was set before is not known, since AWS could not be asked: if there was one, what was written under it stays under it".into(),
        });
    }
    let covers_group =
        association.key.is_some() && matches!(association.resource.target, Target::LogGroup(_));
    if covers_group && !about.results_have_key {
        warnings.push(Warning {
            code: "QUERY_RESULTS_NOT_COVERED".into(),
            message: "stored query results are not covered by a log group's key: they have a key of their own, for the whole account and Region".into(),
        });
    }
    warnings
}

/// Says that a former key must stay, and if it is about not to.
fn former_key_warnings(association: &KeyAssociation, former: &FormerKey) -> Vec<Warning> {
    let key = &former.key;
    let until = match former.protection {
        Protection::Until(until) => format!("until {until}"),
        Protection::Forever => "for ever, since the log group has no retention".into(),
        Protection::NotKnown => match association.resource.target {
            Target::LogGroup(_) => "until its retention ends, which is not known here".into(),
            Target::QueryResults => "until AWS deletes the stored query results".into(),
        },
        Protection::InUse | Protection::Expired => return Vec::new(),
    };
    let mut warnings = vec![Warning {
        code: "FORMER_KEY_STILL_PROTECTS_DATA".into(),
        message: format!("what was written under {key} stays under it {until}: keep that key enabled"),
    }];
    let codes = ["FORMER_KEY_DISABLED", "FORMER_KEY_PENDING_DELETION", "FORMER_KEY_NOT_FOUND"];
    let what = format!("which still protects data {until},");
    warnings.extend(at_risk(codes, key, &what, former.health, former.deletion));
    warnings
}

fn at_risk(
    [disabled, pending, gone]: [&'static str; 3],
    key: &KmsKeyArn,
    what: &str,
    health: KeyHealth,
    deletion: Option<Timestamp>,
) -> Option<Warning> {
    let (code, message) = match health {
        KeyHealth::Usable | KeyHealth::NotChecked => return None,
        KeyHealth::Disabled => (
            disabled,
            format!(
                "the key {key}, {what} is disabled: that data cannot be read until the key is enabled again"
            ),
        ),
        KeyHealth::PendingDeletion => {
            let when = deletion.map_or_else(String::new, |when| format!(" at {when}"));
            (
                pending,
                format!(
                    "the key {key}, {what} is scheduled for deletion{when}: cancel the deletion, or that data is lost"
                ),
            )
        }
        KeyHealth::NotFound => {
            (gone, format!("KMS knows no key {key}, {what} any more: that data cannot be read"))
        }
    };
    Some(Warning { code: code.into(), message })
}
