//! What is found on a key itself: its metadata and its policy.

use super::{Check, CheckName, Lookup, Outcome};
use crate::domain::{
    arn::KmsKeyArn,
    association::Resource,
    key::{KeyMetadata, KeyState},
    key_policy::{KeyPolicy, PolicyEvaluation, service_principal},
    reason::Reason,
    remedy,
};

/// How a statement gets into a key's policy.
const ADD_STATEMENT: &str =
    "add this statement to the key's policy (kms:PutKeyPolicy), beside those that are there";

/// Whether the key is enabled, symmetric, for encryption and a customer's.
#[must_use]
pub fn key_usable(key: &KeyMetadata) -> Vec<Check> {
    let what_kind = [
        (
            CheckName::KeySpec,
            key.symmetric,
            Reason::KeyNotSymmetric,
            "the key is symmetric (SYMMETRIC_DEFAULT)",
            "the key is not symmetric, and CloudWatch Logs takes no other",
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
            "the key is managed by a customer",
            "the key is managed by AWS, and its policy cannot let CloudWatch Logs in",
        ),
    ];
    let what_kind = what_kind.into_iter().map(|(name, good, reason, passed, failed)| {
        if good {
            Check::passed(name, passed)
        } else {
            Check::failed(name, reason, failed, "name a symmetric encryption key of your own")
        }
    });
    std::iter::once(state(key)).chain(what_kind).collect()
}

fn state(key: &KeyMetadata) -> Check {
    let failed = |reason, detail: String, remedy| Check::failed(CheckName::KeyState, reason, detail, remedy);
    match &key.state {
        KeyState::Enabled => Check::passed(CheckName::KeyState, "the key is enabled"),
        KeyState::Other(word) if &**word == "Updating" => {
            Check::passed(CheckName::KeyState, "the key is being updated, and can be used meanwhile")
        }
        KeyState::Disabled => failed(
            Reason::KeyDisabled,
            "the key is disabled".to_owned(),
            "enable the key (kms:EnableKey), or name another",
        ),
        KeyState::PendingDeletion => failed(
            Reason::KeyPendingDeletion,
            match key.deletion {
                Some(at) => format!("the key will be deleted at {at}"),
                None => "the key's deletion is scheduled".to_owned(),
            },
            "cancel the deletion (kms:CancelKeyDeletion) and enable the key, or name another",
        ),
        KeyState::Other(word) => failed(
            Reason::KeyNotUsable,
            format!("the key is in the state {word}, in which KMS does not use it"),
            "bring the key into the state Enabled, or name another",
        ),
    }
}

/// Whether the key's policy lets `CloudWatch` Logs use the key for this target.
#[must_use]
pub fn key_policy(key: &KmsKeyArn, resource: &Resource, lookup: &Lookup<Box<str>>) -> Check {
    let name = CheckName::KeyPolicy;
    let look_at_it = || remedy::role_read_statement(key);
    let text = match lookup {
        Lookup::Found(text) => text,
        Lookup::Absent => return Check::not_checked(name, "KMS has no policy for the key"),
        Lookup::Unknown(reason) if key.account() != resource.location.account => {
            return Check::not_checked(
                name,
                format!(
                    "the key belongs to account {}, and KMS shows key policies to their own account only: {reason}",
                    key.account()
                ),
            );
        }
        Lookup::Unknown(reason) => {
            return Check::not_checked(name, format!("the key's policy was not read, since {reason}"))
                .with_document("to have it checked, add this statement to the role's policy", &look_at_it());
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
            format!("the key's policy does not let {service} do {}", missing.join(", ")),
            "",
        )
        .with_document(ADD_STATEMENT, &document),
        PolicyEvaluation::ConditionMismatch { statement, condition } => Check::failed(
            name,
            Reason::KeyPolicyConditionMismatch,
            format!("{statement} of the key's policy names {service}, and its condition {condition} does not fit {resource}"),
            "",
        )
        .with_document(ADD_STATEMENT, &document),
        PolicyEvaluation::Denied { statement } => Check::failed(
            name,
            Reason::KeyPolicyLacksLogsService,
            format!("{statement} of the key's policy denies {service} the use of the key"),
            format!("except {service} from that statement: a denial wins over everything that allows"),
        ),
        PolicyEvaluation::Unclear { reason } => {
            Check::not_checked(name, format!("the key's policy cannot be judged from here: {reason}"))
        }
    }
}

/// AWS refused the key and nothing was found wrong with it, as far as its policy could be `judged`.
#[must_use]
pub fn refusal_check(evaluated: &Check, resource: &Resource) -> Check {
    match evaluated.outcome {
        Outcome::Passed => Check::failed(
            CheckName::KeyPolicy,
            Reason::KeyNotUsable,
            "AWS refused the key, and everything that could be looked at is as it should be".to_owned(),
            "AWS takes some minutes to know of a key or a key policy made moments ago: try again",
        ),
        // The key is there and can be used, which leaves its policy for what AWS's words mean.
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
