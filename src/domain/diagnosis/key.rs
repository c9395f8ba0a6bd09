//! Checks of a key: its metadata and its policy.

use super::check::{Check, CheckName, Lookup, Outcome};
use crate::domain::{
    arn::KmsKeyArn,
    association::Resource,
    key::{KeyMetadata, KeyState},
    key_policy::{KeyPolicy, PolicyEvaluation, service_principal},
    reason::Reason,
    remedy,
};

/// The states, apart from those with an own [`KeyState`], in which a key cannot be used:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>.
const UNUSABLE_STATES: &[&str] = &["PendingImport", "Unavailable"];
/// The remedy when a key's policy lacks a statement.
const ADD_STATEMENT: &str =
    "add this statement to the key's policy (kms:PutKeyPolicy) and keep the existing statements";

/// Whether the key is enabled, symmetric, for encryption and customer managed.
#[must_use]
pub fn key_usable(key: &KeyMetadata) -> Vec<Check> {
    let properties = [
        (
            CheckName::KeySpec,
            key.symmetric,
            Reason::KeyNotSymmetric,
            "the key is symmetric (SYMMETRIC_DEFAULT)",
            "the key is not symmetric, but CloudWatch Logs accepts only symmetric keys",
        ),
        (
            CheckName::KeyUsage,
            key.encrypts,
            Reason::KeyNotSymmetric,
            "the key is for encryption (ENCRYPT_DECRYPT)",
            "the key is not for encryption (ENCRYPT_DECRYPT)",
        ),
        (
            CheckName::KeyManager,
            key.customer_managed,
            Reason::KeyNotCustomerManaged,
            "the key is customer managed",
            "the key is AWS managed, so its policy cannot be changed to let CloudWatch Logs use it",
        ),
    ];
    let properties = properties.into_iter().map(|(name, good, reason, passed, failed)| match good {
        Some(true) => Check::passed(name, passed),
        Some(false) => {
            Check::failed(name, reason, failed, "use a symmetric, customer managed encryption key")
        }
        // What KMS leaves out is unknown, not wrong.
        None => Check::not_checked(name, format!("KMS did not say whether {passed}")),
    });
    std::iter::once(state(key)).chain(properties).collect()
}

fn state(key: &KeyMetadata) -> Check {
    let failed = |reason, detail: String, remedy| Check::failed(CheckName::KeyState, reason, detail, remedy);
    match &key.state {
        KeyState::Enabled => Check::passed(CheckName::KeyState, "the key is enabled"),
        KeyState::Other(word) if &**word == "Updating" => {
            Check::passed(CheckName::KeyState, "the key is being updated and can be used meanwhile")
        }
        KeyState::Disabled => failed(
            Reason::KeyDisabled,
            "the key is disabled".to_owned(),
            "enable the key (kms:EnableKey), or use another key",
        ),
        KeyState::PendingDeletion => failed(
            Reason::KeyPendingDeletion,
            match key.deletion {
                Some(at) => format!("the key will be deleted at {at}"),
                None => "the key's deletion is scheduled".to_owned(),
            },
            "cancel the deletion (kms:CancelKeyDeletion) and enable the key, or use another key",
        ),
        KeyState::Unknown => Check::not_checked(CheckName::KeyState, "KMS did not say the state of the key"),
        KeyState::Other(word) if &**word == "Creating" => failed(
            Reason::KeyNotUsable,
            "KMS is still creating the key".to_owned(),
            "try again in a few seconds",
        ),
        KeyState::Other(word) if !UNUSABLE_STATES.contains(&&**word) => Check::not_checked(
            CheckName::KeyState,
            format!("the key is in the state {word}, which this service does not know"),
        ),
        KeyState::Other(word) => failed(
            Reason::KeyNotUsable,
            format!("the key is in the state {word}, in which it cannot be used"),
            "bring the key to the state Enabled, or use another key",
        ),
    }
}

/// Whether the key's policy lets `CloudWatch` Logs use the key for this target.
#[must_use]
pub fn key_policy(key: &KmsKeyArn, resource: &Resource, lookup: &Lookup<Box<str>>) -> Check {
    let name = CheckName::KeyPolicy;
    let read_statement = || remedy::role_read_statement(key);
    let text = match lookup {
        Lookup::Found(text) => text,
        Lookup::Absent => return Check::not_checked(name, "KMS has no policy for the key"),
        Lookup::Unknown(reason) if key.account() != resource.location.account => {
            return Check::not_checked(
                name,
                format!(
                    "the key belongs to account {}, and KMS returns a key policy only to the key's own account: {reason}",
                    key.account()
                ),
            );
        }
        Lookup::Unknown(reason) => {
            return Check::not_checked(name, format!("the key's policy was not read because {reason}"))
                .with_remedy_for(
                    reason,
                    "to enable this check, add this statement to the role's policy",
                    &read_statement(),
                );
        }
    };
    let policy = match KeyPolicy::parse(text) {
        Ok(policy) => policy,
        Err(unreadable) => return Check::not_checked(name, unreadable.to_string()),
    };
    let service = service_principal(&resource.location);
    let document = remedy::key_policy_statement(resource);
    match policy.evaluate(key, resource) {
        PolicyEvaluation::Allows => {
            Check::passed(name, format!("the key's policy lets {service} use the key for {resource}"))
        }
        PolicyEvaluation::LacksService { missing } => Check::failed(
            name,
            Reason::KeyPolicyLacksLogsService,
            format!("the key's policy does not let {service} call {}", missing.join(", ")),
            "",
        )
        .with_document(ADD_STATEMENT, &document),
        PolicyEvaluation::ConditionMismatch { statement, condition } => Check::failed(
            name,
            Reason::KeyPolicyConditionMismatch,
            format!("{statement} of the key's policy names {service}, but its condition {condition} does not match {resource}"),
            "",
        )
        .with_document(ADD_STATEMENT, &document),
        // A deny has the same effect as a missing statement, and AWS returns the same message.
        PolicyEvaluation::Denied { statement } => Check::failed(
            name,
            Reason::KeyPolicyLacksLogsService,
            format!("{statement} of the key's policy denies {service} the use of the key"),
            exclude(&service),
        ),
        PolicyEvaluation::MayBeDenied { reason } => {
            let detail = format!("the key's policy lets {service} use the key, but a deny may override that: {reason}");
            Check { remedy: exclude(&service), ..Check::not_checked(name, detail) }
        }
        PolicyEvaluation::Unclear { reason } => {
            Check::not_checked(name, format!("the key's policy could not be evaluated: {reason}"))
        }
    }
}

/// The failed check for a key that `CloudWatch` Logs refuses for a reason that KMS contradicts.
#[must_use]
pub fn outdated_check(name: CheckName, reason: Reason) -> Check {
    let detail = if reason == Reason::KeyNotFound {
        "CloudWatch Logs does not find the key, although KMS has it"
    } else {
        "CloudWatch Logs considers the key disabled or scheduled for deletion, although KMS says that it is enabled"
    };
    Check::failed(name, reason, detail, "a change of a key takes some time to take effect in AWS; try again")
}

/// The remedy when a statement denies, or may deny, the use of the key. Another allow does not help.
fn exclude(service: &str) -> String {
    format!("exclude {service} from that statement; a deny overrides every allow")
}

/// The failed check for a key that AWS refused, when no check of its metadata failed. `evaluated` is the check
/// of its policy.
#[must_use]
pub fn refusal_check(evaluated: &Check, resource: &Resource) -> Check {
    match evaluated.outcome {
        Outcome::Passed => Check::failed(
            CheckName::KeyPolicy,
            Reason::KeyNotUsable,
            "AWS refused the key, although every check of the key passed".to_owned(),
            "a new key or key policy takes some minutes to take effect in AWS; try again later",
        ),
        // The policy has every statement that it needs, and one that may deny: see `MayBeDenied`.
        Outcome::NotChecked if evaluated.document.is_none() && !evaluated.remedy.is_empty() => Check::failed(
            CheckName::KeyPolicy,
            Reason::KeyPolicyLacksLogsService,
            evaluated.detail.clone(),
            evaluated.remedy.clone(),
        ),
        // No other check excludes the policy. A key that could not be read may also not exist.
        Outcome::NotChecked | Outcome::Failed(_) => Check::failed(
            CheckName::KeyPolicy,
            Reason::KeyPolicyLacksLogsService,
            format!(
                "AWS says that the key's policy does not let {} use the key for {resource}; {}",
                service_principal(&resource.location),
                evaluated.detail
            ),
            "",
        )
        .with_document(ADD_STATEMENT, &remedy::key_policy_statement(resource)),
    }
}
