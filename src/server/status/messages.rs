//! What a caller is told of each way a use case can fail: what is wrong, and what to do.

use std::{collections::HashMap, fmt::Display, time::Duration};

use tonic_types::ErrorDetails;

use crate::{
    domain::{association::UnresolvedLocation, diagnosis::Check, reason::Reason},
    ports::aws::{AwsErrorDetails, Refusal},
    service::{Error, ReadError},
};

/// How much of AWS's own words goes to a caller.
const MAX_AWS_MESSAGE: usize = 1000;
/// When to try again where nothing better is known.
const SHORT_RETRY: Duration = Duration::from_secs(1);
/// When another stream may have ended.
const STREAM_AGAIN: Duration = Duration::from_secs(10);

/// The parts of a status beside its code.
pub(super) struct StatusDetails {
    pub(super) message: String,
    pub(super) details: ErrorDetails,
    pub(super) metadata: HashMap<String, String>,
}

pub(super) fn status_details(error: &Error) -> StatusDetails {
    match error {
        Error::TenantRemoved => StatusDetails::new("the token was not accepted"),
        Error::TenantSuspended => {
            StatusDetails::new("your tenant is suspended: ask whoever runs this service")
        }
        Error::ScopeMissing(scope) => {
            StatusDetails::new(format!("the token lacks the scope {scope}: ask your issuer for a token with it"))
                .with("scope", scope)
        }
        Error::Invalid { field, problem } => {
            let mut details = StatusDetails::new(format!("{field} {problem}"));
            details.details.add_bad_request_violation(*field, problem);
            details
        }
        Error::KeyRegionMismatch { key, target } => StatusDetails::new(format!(
            "the key is in {key} and the target in {target}: a key encrypts in its own Region only, so name one in {target}"
        ))
        .with("key_region", key)
        .with("target_region", target),
        Error::LogGroupReserved(name) => StatusDetails::new(format!(
            "log groups whose names begin with aws/ are reserved for AWS, such as {name}: their keys cannot be set"
        ))
        .with("log_group_name", name),
        Error::AccountNotFound(UnresolvedLocation { account, region }) => {
            let account = account.map_or_else(String::new, |account| account.to_string());
            let region = region.as_ref().map_or_else(String::new, ToString::to_string);
            let named = [("account", &account), ("Region", &region)]
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(what, value)| format!("{what} {value}"))
                .collect::<Vec<_>>()
                .join(" in ");
            let named = if named.is_empty() { "any account".into() } else { named };
            StatusDetails::new(format!("nothing of your tenant's was found in {named}: GetCaller lists what is open to it"))
                .with("account_id", account)
                .with("region", region)
        }
        Error::LogGroupNotFound { name, location } => {
            let mut details = StatusDetails::new(format!(
                "there is no log group {name} in account {} and Region {}",
                location.account, location.region
            ))
            .with("log_group_name", name)
            .with("account_id", location.account)
            .with("region", &location.region);
            details.details.set_resource_info("log_group", name.as_str(), "", "not found");
            details
        }
        Error::KeyNotFound { key, location } => {
            let mut details = StatusDetails::new(format!(
                "there is no KMS key {key} for account {} and Region {}",
                location.account, location.region
            ))
            .with("kms_key_id", key)
            .with("region", &location.region);
            details.details.set_resource_info("kms_key", key.to_string(), "", "not found");
            details
        }
        Error::NotAllowed { policies } => {
            let details = StatusDetails::new("policy does not allow this call");
            if policies.is_empty() { details } else { details.with("policy_ids", policies.join(",")) }
        }
        Error::Refused { refusal, answer } => refusal_details(*refusal, answer),
        Error::Diagnosed { cause, answer } => diagnosis_details(cause, answer),
        Error::RoleNotAssumable { .. }
        | Error::Conflict { .. }
        | Error::ExpectedKeyMismatch { .. }
        | Error::ResourceLocked
        | Error::BudgetExhausted { .. }
        | Error::Throttled { .. }
        | Error::AwsUnavailable { .. }
        | Error::AuditUnavailable(_)
        | Error::OutcomeNotRecorded { .. }
        | Error::RecordUnavailable(_)
        | Error::DeadlineBeforeAws
        | Error::OutcomeUnknown { .. }
        | Error::RequestInFlight
        | Error::Internal(_) => contextual_message(error),
        Error::RequestIdReused => StatusDetails::new(
            "request_id came with another request in the last 24 hours: use a new UUID for each request, and the same one only to repeat it",
        )
        .with_bad_field("request_id", "came with another request before"),
        Error::ReplayedFailure { error, event } => {
            let mut details = status_details(error);
            details.message.push_str("; this is the answer to the first request with this request_id: once its cause is mended, use a new one");
            details.with("first_audit_event_id", event)
        }
        Error::FailureNotRecorded { error } => {
            let mut details = status_details(error);
            details.message.push_str("; the record of this in the audit log is still pending");
            details.with("audit_record", "pending")
        }
        Error::AuditRead(error) => audit_read_message(error),
    }
}

/// What is told where the request was good and the circumstances were not.
fn contextual_message(error: &Error) -> StatusDetails {
    match error {
        Error::RoleNotAssumable { answer } => StatusDetails::new(
            "this service cannot assume your account's role: its trust policy must name this service's role and the external id that was agreed",
        )
        .with_precondition("ROLE_NOT_ASSUMABLE", "the trust policy of the role, or the policy of this service's own role")
        .with_aws_trace(answer),
        Error::Conflict { answer } => StatusDetails::new(
            "another change of the same resource was under way until the deadline: try again",
        )
        .with_retry(SHORT_RETRY)
        .with_aws_trace(answer),
        Error::ExpectedKeyMismatch { in_force } => {
            let in_force = in_force.as_ref().map(ToString::to_string).unwrap_or_default();
            let what = if in_force.is_empty() { "no key" } else { in_force.as_str() };
            StatusDetails::new(format!("{what} is in force, which is not what you expect; nothing was sent"))
                .with("kms_key_arn", &in_force)
                .with("sent", "false")
        }
        Error::ResourceLocked => StatusDetails::new(
            "another change of the same resource was under way until the deadline; nothing was sent: try again",
        )
        .with_retry(SHORT_RETRY)
        .with("sent", "false"),
        Error::RequestInFlight => StatusDetails::new(
            "the first request with this request_id was still under way at your deadline: repeat it with the same id",
        )
        .with_retry(SHORT_RETRY),
        Error::BudgetExhausted { retry_after } => StatusDetails::new(format!(
            "AWS allows this account no more of these calls before your deadline; nothing was sent: try again in {} ms, or with a longer deadline",
            retry_after.as_millis().max(1)
        ))
        .with_retry(*retry_after)
        .with_quota("aws-account", "calls a second of this operation in this account and Region"),
        Error::Throttled { retry_after, answer } => {
            StatusDetails::new("AWS throttled the call until the deadline; nothing was changed: try again")
                .with_retry(*retry_after)
                .with_quota("aws-account", "AWS's own quota, shared with everything else in the account")
                .with_aws_trace(answer)
        }
        Error::AwsUnavailable { answer, .. } => {
            let details = StatusDetails::new("AWS cannot be reached, or answers with a fault of its own: try again")
                .with_retry(SHORT_RETRY);
            answer.iter().fold(details, StatusDetails::with_aws_trace)
        }
        Error::AuditUnavailable(_) => {
            StatusDetails::new("the audit log cannot be written now, so nothing was sent to AWS: try again")
                .with_retry(SHORT_RETRY)
                .with("sent", "false")
        }
        Error::OutcomeNotRecorded { aws_request_id } => {
            let details = StatusDetails::new(
                "AWS took the change, and its record in the audit log is still pending: read the association back before you repeat the call",
            )
            .with("sent", "true")
            .with("executed", "true")
            .with("audit_record", "pending");
            aws_request_id.iter().fold(details, |details, id| details.with("aws_request_id", id))
        }
        Error::RecordUnavailable(_) => {
            StatusDetails::new("this service's own record cannot be read now: try again").with_retry(SHORT_RETRY)
        }
        Error::DeadlineBeforeAws => {
            StatusDetails::new("the deadline passed before anything was sent to AWS: try again with a longer one")
                .with("sent", "false")
        }
        Error::OutcomeUnknown { event, .. } => {
            let details = StatusDetails::new(
                "the call was sent to AWS and no answer came in time: whether the change was made is not known; read the association back, or repeat the call, which does no harm",
            )
            .with("sent", "true");
            event.iter().fold(details, |details, event| details.with("audit_event_id", event))
        }
        Error::AuditRead(_)
        | Error::TenantRemoved
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
        | Error::ReplayedFailure { .. }
        | Error::FailureNotRecorded { .. }
        | Error::Internal(_) => StatusDetails::new("internal error"),
    }
}

/// What is told of reading the audit log, and of streams.
fn audit_read_message(error: &ReadError) -> StatusDetails {
    match error {
        ReadError::EventNotFound(id) => {
            let mut details = StatusDetails::new(format!(
                "there is no audit event {id}; one that was moved out is proved by `logkey audit prove --archive`"
            ))
            .with("event_id", id);
            details.details.set_resource_info("audit_event", id.to_string(), "", "not found");
            details
        }
        ReadError::NotSignedYet => {
            StatusDetails::new("no signed checkpoint covers the event yet: try again").with_retry(SHORT_RETRY)
        }
        ReadError::TooManyStreams => StatusDetails::new(
            "as many streams are open as may be: end one of them, or read by ListAuditEvents",
        )
        .with_retry(STREAM_AGAIN)
        .with_quota("tenant", "streams that are open at once"),
        ReadError::StreamNotRead => StatusDetails::new(
            "nothing was taken from this stream for too long: open it again from the last position, and read it all the time",
        )
        .with_retry(SHORT_RETRY),
        ReadError::TokenExpired => {
            StatusDetails::new("the token has expired: open the stream again from the last position, with a new one")
        }
        ReadError::ShuttingDown => StatusDetails::new("the service is stopping: open the stream again from the last position")
            .with_retry(SHORT_RETRY),
    }
}

/// What was found wrong, and the statement that mends it, ready to paste.
fn diagnosis_details(cause: &Check, answer: &AwsErrorDetails) -> StatusDetails {
    let message = if cause.remedy.is_empty() {
        cause.detail.clone()
    } else {
        format!("{}: {}", cause.detail, cause.remedy)
    };
    let kind = cause.reason().unwrap_or(Reason::KeyNotUsable);
    let details = StatusDetails::new(message)
        .with_precondition(kind.as_str(), &cause.remedy)
        .with("check", cause.name.as_str())
        .with_aws_trace(answer);
    cause.document.iter().fold(details, |details, document| details.with("remedy_document", document))
}

/// What AWS's refusal means, and what mends it.
fn refusal_details(refusal: Refusal, answer: &AwsErrorDetails) -> StatusDetails {
    let details = match refusal {
        Refusal::LogGroupNotFound => StatusDetails::new("there is no such log group"),
        Refusal::LogGroupReserved => StatusDetails::new("the log group is reserved for AWS: its key cannot be set"),
        Refusal::KeyMissingOrNotAllowed => StatusDetails::new(
            "CloudWatch Logs may not use the key for this target: either its key policy has no statement for the principal logs.REGION.amazonaws.com (kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey*, kms:Describe*) whose condition fits the target, or there is no such key",
        )
        .with_precondition("KEY_POLICY_LACKS_LOGS_SERVICE", "add the statement for logs.REGION.amazonaws.com to the key's policy"),
        Refusal::KeyNotFound => StatusDetails::new("AWS knows no such key in the target's Region: name it by its ARN"),
        Refusal::KeyDisabled => StatusDetails::new("the key is disabled: enable it, or name another")
            .with_precondition("KEY_DISABLED", "enable the key"),
        Refusal::KeyPendingDeletion => {
            StatusDetails::new("the key is about to be deleted: cancel its deletion, or name another")
                .with_precondition("KEY_PENDING_DELETION", "cancel the deletion")
        }
        Refusal::KeyNotSymmetric => StatusDetails::new(
            "the key is not a symmetric encryption key (SYMMETRIC_DEFAULT), and CloudWatch Logs takes no other",
        )
        .with_precondition("KEY_NOT_SYMMETRIC", "name a symmetric encryption key"),
        Refusal::RoleLacksKms => StatusDetails::new(
            "the role that this service assumes may not use the key: allow it kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey* and kms:Describe* on the key, with kms:ViaService = logs.REGION.amazonaws.com",
        )
        .with_precondition("ROLE_LACKS_KMS_PERMISSION", "extend the role's policy"),
        Refusal::RoleLacksLogs => StatusDetails::new(
            "the role that this service assumes may not make this call: allow it logs:AssociateKmsKey, logs:DisassociateKmsKey and logs:DescribeLogGroups",
        )
        .with_precondition("ROLE_LACKS_LOGS_PERMISSION", "extend the role's policy"),
        Refusal::Organization => StatusDetails::new(
            "a policy of your AWS organization denies the call: ask whoever keeps the service control policies",
        )
        .with_precondition("DENIED_BY_ORGANIZATION", "change the organization's policy"),
        Refusal::Parameter | Refusal::Other => {
            StatusDetails::new("AWS refused the call, in its own words: ").with_aws_message(answer)
        }
    };
    details.with_aws_trace(answer)
}

// === impl Told ===

impl StatusDetails {
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

    fn with_aws_message(mut self, answer: &AwsErrorDetails) -> Self {
        self.message.push_str(&printable(&answer.message));
        self
    }

    /// AWS's own words beside ours.
    fn with_aws_trace(self, answer: &AwsErrorDetails) -> Self {
        if answer.code.is_empty() {
            return self;
        }
        let details = self
            .with("aws_error_code", printable(&answer.code))
            .with("aws_message", printable(&answer.message));
        answer.request_id.iter().fold(details, |details, id| details.with("aws_request_id", printable(id)))
    }
}

/// Text from outside, bounded and without control characters.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_AWS_MESSAGE).collect()
}
