//! The stored form of a response, for replays of the same request. The stored names never change.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::changed::Changed;
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociationState, KeyAssociation, Resource, Source, Warning},
        audit::{Event, EventId},
        diagnosis::{Check, CheckName, Outcome},
        history::{FormerKey, Protection},
        idempotency::Answer,
        key::KeyHealth,
        reason::Reason,
        refusal::{AccessDenial, DeniedAction, DenyingPolicy},
        time::Timestamp,
    },
    ports::aws::{AwsErrorDetails, Refusal},
    service::error::{AwsCallError, Error, Repetition},
};

/// The maximum length of each stored text from AWS, in characters.
const MAX_MESSAGE: usize = 1000;

/// A response as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::service) enum RecordedResponse {
    /// AWS made the change.
    Made(Box<Success>),
    /// AWS refused the change.
    Refused(Box<Failure>),
}

/// The response to a change that AWS made. Times are in microseconds since the epoch, the retention is in
/// seconds.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::service) struct Success {
    key: Option<String>,
    requested: Option<String>,
    previous: Option<String>,
    accepted: i64,
    class: Option<Box<str>>,
    retention: Option<u64>,
    aws_request_id: Box<str>,
    former: Vec<FormerKeyRecord>,
    warnings: Vec<(String, String)>,
}

/// A former key in a response.
#[derive(Debug, Serialize, Deserialize)]
struct FormerKeyRecord {
    key: String,
    since: i64,
    #[serde(rename = "seen")]
    observed_at: i64,
    /// The end of the protection. `None` if it has no end, or an unknown one.
    until: Option<i64>,
    #[serde(rename = "known")]
    is_known: bool,
    health: String,
    deletion: Option<i64>,
}

/// The response to a change that AWS refused.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::service) struct Failure {
    key: Option<String>,
    /// The code of the refusal, if no check found the cause.
    refusal: Option<String>,
    cause: Option<UpstreamCause>,
    code: String,
    message: String,
    request_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UpstreamCause {
    check: String,
    reason: String,
    detail: String,
    remedy: String,
    document: Option<String>,
    cause: Option<String>,
}

// === impl RecordedResponse ===

impl RecordedResponse {
    /// The ARN of the requested key, for the audit event of a replay.
    pub(in crate::service) fn key(&self) -> Option<KmsKeyArn> {
        let key = match self {
            Self::Made(success) => &success.key,
            Self::Refused(failure) => &failure.key,
        };
        key.as_ref()?.parse().ok()
    }

    /// Restores the response that was stored.
    pub(in crate::service) fn restore(self, resource: Resource, event: EventId) -> Result<Changed, Error> {
        match self {
            Self::Made(success) => success.restore(resource, event).ok_or(UNREADABLE),
            Self::Refused(failure) => {
                let error = failure.restore().ok_or(UNREADABLE)?;
                Err(Error::ReplayedFailure { error: Box::new(error), event })
            }
        }
    }
}

const UNREADABLE: Error = Error::Internal("a recorded response cannot be read");

/// The stored form of a success.
pub(in crate::service) fn of_success(changed: &Changed) -> Answer {
    let Changed { association, event: _, aws_request_id, warnings } = changed;
    let text = |key: &Option<KmsKeyArn>| key.as_ref().map(|key| key.as_str().to_owned());
    let former = association.former.iter().map(|former| FormerKeyRecord {
        key: former.key.to_string(),
        since: former.since.as_micros(),
        observed_at: former.observed_at.as_micros(),
        until: match former.protection {
            Protection::Until(until) => Some(until.as_micros()),
            Protection::InUse | Protection::Forever | Protection::NotKnown | Protection::Expired => None,
        },
        is_known: former.protection != Protection::NotKnown,
        health: health_code(former.health).to_owned(),
        deletion: former.deletion.map(Timestamp::as_micros),
    });
    answer(&RecordedResponse::Made(Box::new(Success {
        key: text(&association.key),
        requested: association.requested_key.as_ref().map(ToString::to_string),
        previous: text(&association.previous_key),
        accepted: association.accepted.map(Timestamp::as_micros).unwrap_or_default(),
        class: association.class.clone(),
        retention: association.retention.map(|retention| retention.as_secs()),
        aws_request_id: aws_request_id.clone(),
        former: former.collect(),
        warnings: warnings.iter().map(|it| (it.code.to_string(), it.message.clone())).collect(),
    })))
}

/// The stored form of a success that was read back. It contains only what the intent knew.
pub(in crate::service) fn of_reconciled(intent: &Event, sets_key: bool) -> Answer {
    let text = |key: &Option<KmsKeyArn>| key.as_ref().map(|key| key.as_str().to_owned());
    answer(&RecordedResponse::Made(Box::new(Success {
        key: text(&intent.keys.resolved).filter(|_| sets_key),
        requested: intent.keys.requested.as_ref().map(ToString::to_string),
        previous: text(&intent.keys.previous),
        accepted: intent.time.as_micros(),
        class: None,
        retention: None,
        aws_request_id: Box::default(),
        former: Vec::new(),
        warnings: vec![(
            "OUTCOME_READ_BACK".to_owned(),
            "AWS did not respond to the call, so a later read-back confirmed that the change is in effect"
                .to_owned(),
        )],
    })))
}

/// The stored form of a refusal of AWS whose cause stays until somebody removes it. `None` for any other
/// failure: a repetition then runs the change.
pub(in crate::service) fn of_failure(error: &Error, key: Option<&KmsKeyArn>) -> Option<Answer> {
    let Error::Aws(error) = error else { return None };
    if error.repetition() != Repetition::Futile {
        return None;
    }
    let (refusal, cause, aws_error) = if let AwsCallError::Refused { refusal, answer } = error {
        (Some(*refusal), None, answer)
    } else if let AwsCallError::Diagnosed { cause, answer, .. } = error {
        (None, Some(cause), answer)
    } else {
        return None;
    };
    let AwsErrorDetails { code, message, request_id } = aws_error;
    let bounded = |text: &str| text.chars().take(MAX_MESSAGE).collect::<String>();
    Some(answer(&RecordedResponse::Refused(Box::new(Failure {
        key: key.map(ToString::to_string),
        refusal: refusal.map(|refusal| refusal_code(refusal).to_owned()),
        cause: cause.map(|check| UpstreamCause {
            check: check.name.as_str().to_owned(),
            reason: check.reason().unwrap_or(Reason::KeyNotUsable).as_str().to_owned(),
            detail: check.detail.clone(),
            remedy: check.remedy.clone(),
            document: check.document.as_deref().map(str::to_owned),
            cause: check.cause.as_deref().map(str::to_owned),
        }),
        code: bounded(code),
        message: bounded(message),
        request_id: request_id.as_deref().map(bounded),
    }))))
}

/// Reads a stored response.
pub(in crate::service) fn read(answer: &Answer) -> Result<RecordedResponse, Error> {
    serde_json::from_str(&answer.0).map_err(|_unreadable| UNREADABLE)
}

fn answer(response: &RecordedResponse) -> Answer {
    Answer(serde_json::to_string(response).unwrap_or_default().into())
}

// === impl Success ===

impl Success {
    fn restore(self, resource: Resource, event: EventId) -> Option<Changed> {
        let key = |text: Option<String>| text.map(|text| text.parse::<KmsKeyArn>()).transpose().ok();
        let former = |it: FormerKeyRecord| {
            Some(FormerKey {
                key: it.key.parse().ok()?,
                since: Timestamp::from_micros(it.since),
                observed_at: Timestamp::from_micros(it.observed_at),
                protection: match (it.until, it.is_known) {
                    (Some(until), _) => Protection::Until(Timestamp::from_micros(until)),
                    (None, true) => Protection::Forever,
                    (None, false) => Protection::NotKnown,
                },
                health: HEALTHS.into_iter().find(|health| health_code(*health) == it.health)?,
                deletion: it.deletion.map(Timestamp::from_micros),
            })
        };
        let set = key(self.key)?;
        let association = KeyAssociation {
            resource,
            // AWS accepts only a key that CloudWatch Logs can use at that moment.
            health: if set.is_some() { KeyHealth::Usable } else { KeyHealth::NotChecked },
            key: set,
            requested_key: self.requested.map(|text| text.parse::<KmsKeyId>()).transpose().ok()?,
            previous_key: key(self.previous)?,
            state: AssociationState::Settling,
            accepted: Some(Timestamp::from_micros(self.accepted)),
            key_deletion: None,
            class: self.class,
            retention: self.retention.map(Duration::from_secs),
            former: self.former.into_iter().map(former).collect::<Option<_>>()?,
            source: Source::Recorded,
        };
        let warnings =
            self.warnings.into_iter().map(|(code, message)| Warning { code: code.into(), message });
        Some(Changed {
            association,
            event: Some(event),
            aws_request_id: self.aws_request_id,
            warnings: warnings.collect(),
        })
    }
}

// === impl Failure ===

impl Failure {
    fn restore(self) -> Option<Error> {
        let answer = AwsErrorDetails {
            code: self.code.into(),
            message: self.message.into(),
            request_id: self.request_id.map(Into::into),
        };
        if let Some(cause) = self.cause {
            let name = CheckName::ALL.into_iter().find(|name| name.as_str() == cause.check)?;
            let reason = Reason::ALL.iter().find(|reason| reason.as_str() == cause.reason)?;
            let cause = Check {
                name,
                outcome: Outcome::Failed(*reason),
                detail: cause.detail,
                remedy: cause.remedy,
                document: cause.document.map(Into::into),
                cause: cause.cause.map(Into::into),
            };
            let (cause, repetition) = (Box::new(cause), Repetition::Futile);
            return Some(Error::Aws(AwsCallError::Diagnosed { cause, answer, repetition }));
        }
        let refusal = parse_refusal(&self.refusal?, &answer.message)?;
        Some(Error::Aws(AwsCallError::Refused { refusal, answer }))
    }
}

const HEALTHS: [KeyHealth; 5] = [
    KeyHealth::Usable,
    KeyHealth::Disabled,
    KeyHealth::PendingDeletion,
    KeyHealth::NotFound,
    KeyHealth::NotChecked,
];

/// The stored name of a key's health. It never changes.
fn health_code(health: KeyHealth) -> &'static str {
    match health {
        KeyHealth::Usable => "usable",
        KeyHealth::Disabled => "disabled",
        KeyHealth::PendingDeletion => "pending_deletion",
        KeyHealth::NotFound => "not_found",
        KeyHealth::NotChecked => "not_checked",
    }
}

/// The stored name of a denial. AWS's message, which is stored too, has its details.
const DENIED: &str = "denied";

/// The refusals with a stored name, apart from denials.
const REFUSALS: [Refusal; 11] = [
    Refusal::LogGroupNotFound,
    Refusal::LogGroupReserved,
    Refusal::KeyMissingOrNotAllowed,
    Refusal::KeyNotFound,
    Refusal::KeyDisabled,
    Refusal::KeyPendingDeletion,
    Refusal::KeyNotSymmetric,
    Refusal::RegionNotEnabled,
    Refusal::AccountNotSubscribed,
    Refusal::Parameter,
    Refusal::Other,
];

/// The stored name of a refusal. It never changes.
fn refusal_code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::LogGroupNotFound => "log_group_not_found",
        Refusal::LogGroupReserved => "log_group_reserved",
        Refusal::KeyMissingOrNotAllowed => "key_missing_or_not_allowed",
        Refusal::KeyNotFound => "key_not_found",
        Refusal::KeyDisabled => "key_disabled",
        Refusal::KeyPendingDeletion => "key_pending_deletion",
        Refusal::KeyNotSymmetric => "key_not_symmetric",
        Refusal::Denied(_) => DENIED,
        Refusal::RegionNotEnabled => "region_not_enabled",
        Refusal::AccountNotSubscribed => "account_not_subscribed",
        Refusal::Parameter => "parameter",
        Refusal::Other => "other",
    }
}

/// The refusal with this stored name. The names before "denied" tell one of three denials.
fn parse_refusal(code: &str, message: &str) -> Option<Refusal> {
    match code {
        DENIED => Some(Refusal::Denied(AccessDenial::parse(message))),
        "role_lacks_kms" => Some(Refusal::Denied(AccessDenial::of(DeniedAction::Kms))),
        "role_lacks_logs" => Some(Refusal::Denied(AccessDenial::of(DeniedAction::Logs))),
        "organization" => {
            let denial = AccessDenial::of(DeniedAction::Other);
            Some(Refusal::Denied(AccessDenial { by: DenyingPolicy::ServiceControl, ..denial }))
        }
        _ => REFUSALS.into_iter().find(|refusal| refusal_code(*refusal) == code),
    }
}
