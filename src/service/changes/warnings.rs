//! The warnings in a successful response: keys that still protect data, and keys that are at risk.

use crate::domain::{
    arn::KmsKeyArn,
    association::{KeyAssociation, Target, Warning},
    history::{FormerKey, Protection},
    key::KeyHealth,
    time::Timestamp,
};

/// What the warnings of a change depend on besides its association.
#[derive(Clone, Copy, Debug)]
pub(super) struct WarningInput {
    /// Whether the prior key could be read, as far as AWS returns it.
    pub(super) prior_key_read: bool,
    /// Whether the account's query results have a key, according to the service's record.
    pub(super) results_have_key: bool,
}

/// The warnings about a current association.
#[must_use]
pub fn current_warnings(association: &KeyAssociation) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(key) = &association.key {
        let codes = ["KEY_DISABLED", "KEY_PENDING_DELETION", "KEY_NOT_FOUND"];
        let clause = "which encrypts new data,";
        warnings.extend(at_risk(codes, key, clause, association.health, association.key_deletion));
    }
    warnings.extend(association.former.iter().flat_map(|key| former_key_warnings(association, key)));
    warnings
}

/// The warnings about a change, or about its dry run.
pub(super) fn change_warnings(association: &KeyAssociation, input: WarningInput) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let (Some(key), Some(previous)) = (&association.key, &association.previous_key)
        && key != previous
    {
        warnings.push(Warning {
            code: "KEY_REPLACED".into(),
            message: format!(
                "the key {previous} was set before; data written under it stays encrypted with it until its retention ends, so keep that key enabled"
            ),
        });
    }
    warnings.extend(association.former.iter().flat_map(|key| former_key_warnings(association, key)));
    if !input.prior_key_read {
        warnings.push(Warning {
            code: "FORMER_KEY_NOT_KNOWN".into(),
            message: "the previous key is unknown, because it could not be read from AWS: if there was one, data written under it stays encrypted with it".into(),
        });
    }
    let covers_group =
        association.key.is_some() && matches!(association.resource.target, Target::LogGroup(_));
    if covers_group && !input.results_have_key {
        warnings.push(Warning {
            code: "QUERY_RESULTS_NOT_COVERED".into(),
            message: "the key of a log group does not cover stored query results: they have a separate key for the whole account and Region".into(),
        });
    }
    warnings
}

/// The warnings about a former key that still protects data: that it must stay, and whether it is at risk.
fn former_key_warnings(association: &KeyAssociation, former: &FormerKey) -> Vec<Warning> {
    let key = &former.key;
    let until = match former.protection {
        Protection::Until(until) => format!("until {until}"),
        Protection::Forever => "indefinitely, because the log group has no retention".into(),
        Protection::NotKnown => match association.resource.target {
            Target::LogGroup(_) => {
                "until its retention ends, at a time that this service does not know".into()
            }
            Target::QueryResults => "until AWS deletes the stored query results".into(),
        },
        Protection::InUse | Protection::Expired => return Vec::new(),
    };
    let mut warnings = vec![Warning {
        code: "FORMER_KEY_STILL_PROTECTS_DATA".into(),
        message: format!("data written under {key} stays encrypted with it {until}: keep that key enabled"),
    }];
    let codes = ["FORMER_KEY_DISABLED", "FORMER_KEY_PENDING_DELETION", "FORMER_KEY_NOT_FOUND"];
    let clause = format!("which still protects data {until},");
    warnings.extend(at_risk(codes, key, &clause, former.health, former.deletion));
    warnings
}

/// The warning about a key that is disabled, scheduled for deletion or deleted. `clause` follows the key.
fn at_risk(
    [disabled, pending, gone]: [&'static str; 3],
    key: &KmsKeyArn,
    clause: &str,
    health: KeyHealth,
    deletion: Option<Timestamp>,
) -> Option<Warning> {
    let (code, message) = match health {
        KeyHealth::Usable | KeyHealth::NotChecked => return None,
        KeyHealth::Disabled => (
            disabled,
            format!(
                "the key {key}, {clause} is disabled: enable it, because that data cannot be read until then"
            ),
        ),
        KeyHealth::PendingDeletion => {
            let when = deletion.map_or_else(String::new, |when| format!(" at {when}"));
            (
                pending,
                format!(
                    "the key {key}, {clause} is scheduled for deletion{when}: cancel the deletion, or that data is lost"
                ),
            )
        }
        KeyHealth::NotFound => {
            (gone, format!("the key {key}, {clause} no longer exists in KMS: that data cannot be read"))
        }
    };
    Some(Warning { code: code.into(), message })
}
