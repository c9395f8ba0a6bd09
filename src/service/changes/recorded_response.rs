//! The stored form of a response, for replays of the same request.

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
        time::Timestamp,
    },
    ports::aws::{AwsErrorDetails, Refusal},
    service::error::Error,
};

/// How much of AWS's words is kept, in characters.
const MAX_MESSAGE: usize = 1000;

/// An answer that was given.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::service) enum RecordedResponse {
    /// A change that was made.
    Made(Box<Success>),
    /// AWS's refusal.
    Refused(Box<Failure>),
}

/// A change that was made.
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

/// A key that was told of as a former one.
#[derive(Debug, Serialize, Deserialize)]
struct FormerKeyRecord {
    key: String,
    since: i64,
    #[serde(rename = "seen")]
    observed_at: i64,
    /// None is for ever, or not known.
    until: Option<i64>,
    #[serde(rename = "known")]
    is_known: bool,
    health: String,
    deletion: Option<i64>,
}

/// AWS's refusal.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::service) struct Failure {
    key: Option<String>,
    /// By its name, where no look showed the cause.
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
}

// === impl Told ===

impl RecordedResponse {
    /// The key that the request meant, by its ARN, so that policy can be asked again.
    pub(in crate::service) fn key(&self) -> Option<KmsKeyArn> {
        let key = match self {
            Self::Made(success) => &success.key,
            Self::Refused(failure) => &failure.key,
        };
        key.as_ref()?.parse().ok()
    }

    /// The answer again.
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

const UNREADABLE: Error = Error::Internal("a kept answer cannot be read");

/// Keeps a success.
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

/// Keeps the success of a change that was read back: what its intent said is so.
pub(in crate::service) fn of_reconciled(intent: &Event, sets: bool) -> Answer {
    let text = |key: &Option<KmsKeyArn>| key.as_ref().map(|key| key.as_str().to_owned());
    answer(&RecordedResponse::Made(Box::new(Success {
        key: text(&intent.keys.resolved).filter(|_| sets),
        requested: intent.keys.requested.as_ref().map(ToString::to_string),
        previous: text(&intent.keys.previous),
        accepted: intent.time.as_micros(),
        class: None,
        retention: None,
        aws_request_id: Box::default(),
        former: Vec::new(),
        warnings: vec![(
            "OUTCOME_READ_BACK".to_owned(),
            "AWS did not answer the call: that it was taken was read back afterwards".to_owned(),
        )],
    })))
}

/// Keeps a refusal of AWS; none for what ended otherwise, which may be tried again.
pub(in crate::service) fn of_failure(error: &Error, key: Option<&KmsKeyArn>) -> Option<Answer> {
    let (refusal, cause, aws_error) = if let Error::Refused { refusal, answer } = error {
        (Some(*refusal), None, answer)
    } else if let Error::Diagnosed { cause, answer } = error {
        (None, Some(cause), answer)
    } else {
        return None;
    };
    let AwsErrorDetails { code, message, request_id } = aws_error;
    let bounded = |text: &str| text.chars().take(MAX_MESSAGE).collect::<String>();
    Some(answer(&RecordedResponse::Refused(Box::new(Failure {
        key: key.map(ToString::to_string),
        refusal: refusal.map(|refusal| reason_code(refusal).to_owned()),
        cause: cause.map(|check| UpstreamCause {
            check: check.name.as_str().to_owned(),
            reason: check.reason().unwrap_or(Reason::KeyNotUsable).as_str().to_owned(),
            detail: check.detail.clone(),
            remedy: check.remedy.clone(),
            document: check.document.as_deref().map(str::to_owned),
        }),
        code: bounded(code),
        message: bounded(message),
        request_id: request_id.as_deref().map(bounded),
    }))))
}

/// Reads what was kept.
pub(in crate::service) fn read(answer: &Answer) -> Result<RecordedResponse, Error> {
    serde_json::from_str(&answer.0).map_err(|_unreadable| UNREADABLE)
}

fn answer(response: &RecordedResponse) -> Answer {
    Answer(serde_json::to_string(response).unwrap_or_default().into())
}

// === impl Made ===

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
            // AWS takes no key that CloudWatch Logs cannot use at that moment.
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

// === impl Refused ===

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
            };
            return Some(Error::Diagnosed { cause: Box::new(cause), answer });
        }
        let named = self.refusal?;
        let refusal = REFUSALS.into_iter().find(|refusal| reason_code(*refusal) == named)?;
        Some(Error::Refused { refusal, answer })
    }
}

const HEALTHS: [KeyHealth; 5] = [
    KeyHealth::Usable,
    KeyHealth::Disabled,
    KeyHealth::PendingDeletion,
    KeyHealth::NotFound,
    KeyHealth::NotChecked,
];

/// How a key's health is written down: a name that stays.
fn health_code(health: KeyHealth) -> &'static str {
    match health {
        KeyHealth::Usable => "usable",
        KeyHealth::Disabled => "disabled",
        KeyHealth::PendingDeletion => "pending_deletion",
        KeyHealth::NotFound => "not_found",
        KeyHealth::NotChecked => "not_checked",
    }
}

const REFUSALS: [Refusal; 12] = [
    Refusal::LogGroupNotFound,
    Refusal::LogGroupReserved,
    Refusal::KeyMissingOrNotAllowed,
    Refusal::KeyNotFound,
    Refusal::KeyDisabled,
    Refusal::KeyPendingDeletion,
    Refusal::KeyNotSymmetric,
    Refusal::RoleLacksKms,
    Refusal::RoleLacksLogs,
    Refusal::Organization,
    Refusal::Parameter,
    Refusal::Other,
];

/// How a refusal is written down: a name that stays.
fn reason_code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::LogGroupNotFound => "log_group_not_found",
        Refusal::LogGroupReserved => "log_group_reserved",
        Refusal::KeyMissingOrNotAllowed => "key_missing_or_not_allowed",
        Refusal::KeyNotFound => "key_not_found",
        Refusal::KeyDisabled => "key_disabled",
        Refusal::KeyPendingDeletion => "key_pending_deletion",
        Refusal::KeyNotSymmetric => "key_not_symmetric",
        Refusal::RoleLacksKms => "role_lacks_kms",
        Refusal::RoleLacksLogs => "role_lacks_logs",
        Refusal::Organization => "organization",
        Refusal::Parameter => "parameter",
        Refusal::Other => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_told_again_as_it_was() {
        for refusal in REFUSALS {
            let aws_error = AwsErrorDetails {
                code: "Code".into(),
                message: "words".into(),
                request_id: Some("id".into()),
            };
            let response = of_failure(&Error::Refused { refusal, answer: aws_error.clone() }, None).unwrap();
            let RecordedResponse::Refused(failure) = read(&response).unwrap() else { panic!("{response:?}") };
            let Some(Error::Refused { refusal: restore, answer }) = failure.restore() else {
                panic!("{response:?}")
            };
            assert_eq!((restore, answer), (refusal, aws_error));
        }
    }

    #[test]
    fn a_cause_that_was_found_is_told_again_with_its_remedy() {
        for name in CheckName::ALL {
            let check = Check::failed(name, Reason::KeyDisabled, "it is so", "do that")
                .with_document("do that", &serde_json::json!({ "Effect": "Allow" }));
            let error =
                Error::Diagnosed { cause: Box::new(check.clone()), answer: AwsErrorDetails::default() };
            let RecordedResponse::Refused(failure) = read(&of_failure(&error, None).unwrap()).unwrap() else {
                panic!("{name:?}")
            };
            let Some(Error::Diagnosed { cause, .. }) = failure.restore() else { panic!("{name:?}") };
            assert_eq!(*cause, check);
        }
    }
}
