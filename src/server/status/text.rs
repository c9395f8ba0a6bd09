//! What a caller is told of each way a use case can fail: what is wrong, and what to do.

use std::{collections::HashMap, fmt::Display, time::Duration};

use tonic_types::ErrorDetails;

use crate::{
    domain::{association::UnresolvedPlace, diagnosis::Check, reason::Reason},
    ports::aws::{AwsAnswer, Refusal},
    service::{Error, ReadError},
};

/// How much of AWS's own words goes to a caller.
const MAX_AWS_WORDS: usize = 1000;
/// When to try again where nothing better is known.
const SOON: Duration = Duration::from_secs(1);
/// When another stream may have ended.
const STREAM_AGAIN: Duration = Duration::from_secs(10);

/// The parts of a status beside its code.
pub(super) struct Told {
    pub(super) message: String,
    pub(super) details: ErrorDetails,
    pub(super) metadata: HashMap<String, String>,
}

pub(super) fn told(error: &Error) -> Told {
    match error {
        Error::TenantGone => Told::new("the token was not accepted"),
        Error::TenantSuspended => {
            Told::new("your tenant is suspended: ask whoever runs this service")
        }
        Error::ScopeMissing(scope) => {
            Told::new(format!("the token lacks the scope {scope}: ask your issuer for a token with it"))
                .with("scope", scope)
        }
        Error::Invalid { field, problem } => {
            let mut told = Told::new(format!("{field} {problem}"));
            told.details.add_bad_request_violation(*field, problem);
            told
        }
        Error::KeyRegionMismatch { key, target } => Told::new(format!(
            "the key is in {key} and the target in {target}: a key encrypts in its own Region only, so name one in {target}"
        ))
        .with("key_region", key)
        .with("target_region", target),
        Error::LogGroupReserved(name) => Told::new(format!(
            "log groups whose names begin with aws/ are reserved for AWS, such as {name}: their keys cannot be set"
        ))
        .with("log_group_name", name),
        Error::AccountNotFound(UnresolvedPlace { account, region }) => {
            let account = account.map_or_else(String::new, |account| account.to_string());
            let region = region.as_ref().map_or_else(String::new, ToString::to_string);
            let named = [("account", &account), ("Region", &region)]
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(what, value)| format!("{what} {value}"))
                .collect::<Vec<_>>()
                .join(" in ");
            let named = if named.is_empty() { "any account".into() } else { named };
            Told::new(format!("nothing of your tenant's was found in {named}: GetCaller lists what is open to it"))
                .with("account_id", account)
                .with("region", region)
        }
        Error::LogGroupNotFound { name, place } => {
            let mut told = Told::new(format!(
                "there is no log group {name} in account {} and Region {}",
                place.account, place.region
            ))
            .with("log_group_name", name)
            .with("account_id", place.account)
            .with("region", &place.region);
            told.details.set_resource_info("log_group", name.as_str(), "", "not found");
            told
        }
        Error::KeyNotFound { key, place } => {
            let mut told = Told::new(format!(
                "there is no KMS key {key} for account {} and Region {}",
                place.account, place.region
            ))
            .with("kms_key_id", key)
            .with("region", &place.region);
            told.details.set_resource_info("kms_key", key.to_string(), "", "not found");
            told
        }
        Error::NotAllowed { policies } => {
            let told = Told::new("policy does not allow this call");
            if policies.is_empty() { told } else { told.with("policy_ids", policies.join(",")) }
        }
        Error::Refused { refusal, answer } => refused(*refusal, answer),
        Error::Diagnosed { cause, answer } => diagnosed(cause, answer),
        Error::RoleNotAssumable { .. }
        | Error::Conflict { .. }
        | Error::ExpectedKeyMismatch { .. }
        | Error::Busy
        | Error::BudgetExhausted { .. }
        | Error::Throttled { .. }
        | Error::AwsUnavailable { .. }
        | Error::AuditUnavailable(_)
        | Error::OutcomePending { .. }
        | Error::RecordUnavailable(_)
        | Error::DeadlineBeforeAws
        | Error::OutcomeUnknown { .. }
        | Error::StillRunning
        | Error::Internal(_) => circumstances(error),
        Error::RequestIdReused => Told::new(
            "request_id came with another request in the last 24 hours: use a new UUID for each request, and the same one only to repeat it",
        )
        .with_bad_field("request_id", "came with another request before"),
        Error::Repeated { error, event } => {
            let mut told = told(error);
            told.message.push_str("; this is the answer to the first request with this request_id: once its cause is mended, use a new one");
            told.with("first_audit_event_id", event)
        }
        Error::Unrecorded { error } => {
            let mut told = told(error);
            told.message.push_str("; the record of this in the audit log is still pending");
            told.with("audit_record", "pending")
        }
        Error::Reading(error) => reading(error),
    }
}

/// What is told where the request was good and the circumstances were not.
fn circumstances(error: &Error) -> Told {
    match error {
        Error::RoleNotAssumable { answer } => Told::new(
            "this service cannot assume your account's role: its trust policy must name this service's role and the external id that was agreed",
        )
        .with_precondition("ROLE_NOT_ASSUMABLE", "the trust policy of the role, or the policy of this service's own role")
        .with_answer(answer),
        Error::Conflict { answer } => Told::new(
            "another change of the same resource was under way until the deadline: try again",
        )
        .with_retry(SOON)
        .with_answer(answer),
        Error::ExpectedKeyMismatch { in_force } => {
            let in_force = in_force.as_ref().map(ToString::to_string).unwrap_or_default();
            let what = if in_force.is_empty() { "no key" } else { in_force.as_str() };
            Told::new(format!("{what} is in force, which is not what you expect; nothing was sent"))
                .with("kms_key_arn", &in_force)
                .with("sent", "false")
        }
        Error::Busy => Told::new(
            "another change of the same resource was under way until the deadline; nothing was sent: try again",
        )
        .with_retry(SOON)
        .with("sent", "false"),
        Error::StillRunning => Told::new(
            "the first request with this request_id was still under way at your deadline: repeat it with the same id",
        )
        .with_retry(SOON),
        Error::BudgetExhausted { retry_after } => Told::new(format!(
            "AWS allows this account no more of these calls before your deadline; nothing was sent: try again in {} ms, or with a longer deadline",
            retry_after.as_millis().max(1)
        ))
        .with_retry(*retry_after)
        .with_quota("aws-account", "calls a second of this operation in this account and Region"),
        Error::Throttled { retry_after, answer } => {
            Told::new("AWS throttled the call until the deadline; nothing was changed: try again")
                .with_retry(*retry_after)
                .with_quota("aws-account", "AWS's own quota, shared with everything else in the account")
                .with_answer(answer)
        }
        Error::AwsUnavailable { answer, .. } => {
            let told = Told::new("AWS cannot be reached, or answers with a fault of its own: try again")
                .with_retry(SOON);
            answer.iter().fold(told, Told::with_answer)
        }
        Error::AuditUnavailable(_) => {
            Told::new("the audit log cannot be written now, so nothing was sent to AWS: try again")
                .with_retry(SOON)
                .with("sent", "false")
        }
        Error::OutcomePending { aws_request_id } => {
            let told = Told::new(
                "AWS took the change, and its record in the audit log is still pending: read the association back before you repeat the call",
            )
            .with("sent", "true")
            .with("executed", "true")
            .with("audit_record", "pending");
            aws_request_id.iter().fold(told, |told, id| told.with("aws_request_id", id))
        }
        Error::RecordUnavailable(_) => {
            Told::new("this service's own record cannot be read now: try again").with_retry(SOON)
        }
        Error::DeadlineBeforeAws => {
            Told::new("the deadline passed before anything was sent to AWS: try again with a longer one")
                .with("sent", "false")
        }
        Error::OutcomeUnknown { event, .. } => {
            let told = Told::new(
                "the call was sent to AWS and no answer came in time: whether the change was made is not known; read the association back, or repeat the call, which does no harm",
            )
            .with("sent", "true");
            event.iter().fold(told, |told, event| told.with("audit_event_id", event))
        }
        Error::Reading(_)
        | Error::TenantGone
        | Error::TenantSuspended
        | Error::ScopeMissing(_)
        | Error::Invalid { .. }
        | Error::KeyRegionMismatch { .. }
        | Error::LogGroupReserved(_)
        | Error::AccountNotFound(_)
        | Error::LogGroupNotFound { .. }
        | Error::KeyNotFound { .. }
        | Error::NotAllowed { .. }
        | Error::Refused { .. }
        | Error::Diagnosed { .. }
        | Error::RequestIdReused
        | Error::Repeated { .. }
        | Error::Unrecorded { .. }
        | Error::Internal(_) => Told::new("internal error"),
    }
}

/// What is told of reading the audit log, and of streams.
fn reading(error: &ReadError) -> Told {
    match error {
        ReadError::EventNotFound(id) => {
            let mut told = Told::new(format!(
                "there is no audit event {id}; one that was moved out is proved by `logkey audit prove --archive`"
            ))
            .with("event_id", id);
            told.details.set_resource_info("audit_event", id.to_string(), "", "not found");
            told
        }
        ReadError::NotSignedYet => {
            Told::new("no signed checkpoint covers the event yet: try again").with_retry(SOON)
        }
        ReadError::TooManyStreams => Told::new(
            "as many streams are open as may be: end one of them, or read by ListAuditEvents",
        )
        .with_retry(STREAM_AGAIN)
        .with_quota("tenant", "streams that are open at once"),
        ReadError::StreamNotRead => Told::new(
            "nothing was taken from this stream for too long: open it again from the last position, and read it all the time",
        )
        .with_retry(SOON),
        ReadError::TokenExpired => {
            Told::new("the token has expired: open the stream again from the last position, with a new one")
        }
        ReadError::ShuttingDown => Told::new("the service is stopping: open the stream again from the last position")
            .with_retry(SOON),
    }
}

/// What was found wrong, and the statement that mends it, ready to paste.
fn diagnosed(cause: &Check, answer: &AwsAnswer) -> Told {
    let message = if cause.remedy.is_empty() {
        cause.detail.clone()
    } else {
        format!("{}: {}", cause.detail, cause.remedy)
    };
    let kind = cause.reason().unwrap_or(Reason::KeyNotUsable);
    let told = Told::new(message)
        .with_precondition(kind.as_str(), &cause.remedy)
        .with("check", cause.name.as_str())
        .with_answer(answer);
    cause.document.iter().fold(told, |told, document| told.with("remedy_document", document))
}

/// What AWS's refusal means, and what mends it.
fn refused(refusal: Refusal, answer: &AwsAnswer) -> Told {
    let told = match refusal {
        Refusal::LogGroupNotFound => Told::new("there is no such log group"),
        Refusal::LogGroupReserved => Told::new("the log group is reserved for AWS: its key cannot be set"),
        Refusal::KeyMissingOrNotAllowed => Told::new(
            "CloudWatch Logs may not use the key for this target: either its key policy has no statement for the principal logs.REGION.amazonaws.com (kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey*, kms:Describe*) whose condition fits the target, or there is no such key",
        )
        .with_precondition("KEY_POLICY_LACKS_LOGS_SERVICE", "add the statement for logs.REGION.amazonaws.com to the key's policy"),
        Refusal::KeyNotFound => Told::new("AWS knows no such key in the target's Region: name it by its ARN"),
        Refusal::KeyDisabled => Told::new("the key is disabled: enable it, or name another")
            .with_precondition("KEY_DISABLED", "enable the key"),
        Refusal::KeyPendingDeletion => {
            Told::new("the key is about to be deleted: cancel its deletion, or name another")
                .with_precondition("KEY_PENDING_DELETION", "cancel the deletion")
        }
        Refusal::KeyNotSymmetric => Told::new(
            "the key is not a symmetric encryption key (SYMMETRIC_DEFAULT), and CloudWatch Logs takes no other",
        )
        .with_precondition("KEY_NOT_SYMMETRIC", "name a symmetric encryption key"),
        Refusal::RoleLacksKms => Told::new(
            "the role that this service assumes may not use the key: allow it kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey* and kms:Describe* on the key, with kms:ViaService = logs.REGION.amazonaws.com",
        )
        .with_precondition("ROLE_LACKS_KMS_PERMISSION", "extend the role's policy"),
        Refusal::RoleLacksLogs => Told::new(
            "the role that this service assumes may not make this call: allow it logs:AssociateKmsKey, logs:DisassociateKmsKey and logs:DescribeLogGroups",
        )
        .with_precondition("ROLE_LACKS_LOGS_PERMISSION", "extend the role's policy"),
        Refusal::Organization => Told::new(
            "a policy of your AWS organization denies the call: ask whoever keeps the service control policies",
        )
        .with_precondition("DENIED_BY_ORGANIZATION", "change the organization's policy"),
        Refusal::Parameter | Refusal::Other => {
            Told::new("AWS refused the call, in its own words: ").with_words(answer)
        }
    };
    told.with_answer(answer)
}

// === impl Told ===

impl Told {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: ErrorDetails::new(), metadata: HashMap::new() }
    }

    fn with(mut self, key: &str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    fn with_bad_field(mut self, field: &str, problem: &str) -> Self {
        self.details.add_bad_request_violation(field, problem);
        self
    }

    fn with_retry(mut self, after: Duration) -> Self {
        self.details.set_retry_info(Some(after));
        self
    }

    fn with_quota(mut self, subject: &str, what: &str) -> Self {
        self.details.add_quota_failure_violation(subject, what);
        self
    }

    fn with_precondition(mut self, kind: &str, remedy: &str) -> Self {
        self.details.add_precondition_failure_violation(kind, "", remedy);
        self
    }

    fn with_words(mut self, answer: &AwsAnswer) -> Self {
        self.message.push_str(&printable(&answer.message));
        self
    }

    /// AWS's own words beside ours.
    fn with_answer(self, answer: &AwsAnswer) -> Self {
        if answer.code.is_empty() {
            return self;
        }
        let told = self
            .with("aws_error_code", printable(&answer.code))
            .with("aws_message", printable(&answer.message));
        answer.request_id.iter().fold(told, |told, id| told.with("aws_request_id", printable(id)))
    }
}

/// Text from outside, bounded and without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_AWS_WORDS).collect()
}
