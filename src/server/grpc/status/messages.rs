//! The messages and details that callers get when a use case fails.
//!
//! Each message says what is wrong, which value is wrong, and what to do.

use std::time::Duration;

use super::{
    aws_messages::{explained_details, refusal_details, role_details, service_fault_details},
    details::StatusDetails,
};
use crate::{
    domain::{association::UnresolvedLocation, connection::failed_step},
    service::{
        AccessError, AwsCallError, ChangeError, Error, FleetError, ReadError, RequestError, StorageError,
    },
};

/// The `RetryInfo` delay if nothing gives a better one.
const SHORT_RETRY: Duration = Duration::from_secs(1);
/// The `RetryInfo` delay after which another stream may have ended.
const STREAM_RETRY_AFTER: Duration = Duration::from_secs(10);

pub(super) fn status_details(error: &Error) -> StatusDetails {
    match error {
        Error::Access(error) => access_details(error),
        Error::Request(error) => request_details(error),
        Error::Aws(error) => aws_call_details(error),
        Error::Change(error) => change_details(error),
        Error::Fleet(error) => fleet_details(error),
        Error::Storage(error) => storage_details(error),
        Error::AuditRead(error) => audit_read_details(error),
        Error::ReplayedFailure { error, event } => {
            let mut details = status_details(error);
            details.message.push_str("; this is the recorded response to the first request with this request_id: remove the cause, then send a new request_id");
            details.with("first_audit_event_id", event)
        }
        Error::FailureNotRecorded { error } => {
            let mut details = status_details(error);
            details.message.push_str("; its record in the audit log is still pending");
            details.with("audit_record", "pending")
        }
        Error::Internal(_) => StatusDetails::new("internal error"),
    }
}

fn access_details(error: &AccessError) -> StatusDetails {
    match error {
        AccessError::TenantRemoved => StatusDetails::new(
            "the token was rejected: get a new one from its issuer, or ask the operator of this service for the cause",
        ),
        AccessError::TenantSuspended => {
            StatusDetails::new("your tenant is suspended: contact the operator of this service")
        }
        AccessError::ScopeMissing(scope) => StatusDetails::new(format!(
            "the token lacks the scope {scope}: get a token with this scope from your issuer"
        ))
        .with("scope", scope),
        AccessError::NotAllowed { policies } => {
            let details = StatusDetails::new(
                "policy denies this call: compare the log group and the key with what GetCaller lists, or ask the operator of this service",
            );
            if policies.is_empty() { details } else { details.with("policy_ids", policies.join(",")) }
        }
    }
}

fn request_details(error: &RequestError) -> StatusDetails {
    match error {
        RequestError::Invalid { field, problem } => {
            let mut details = StatusDetails::new(format!("{field} {problem}"));
            details.details.add_bad_request_violation(*field, problem);
            details
        }
        RequestError::KeyRegionMismatch { key, target } => StatusDetails::new(format!(
            "the key is in Region {key}, but the target is in {target}: use a key in {target}"
        ))
        .with("key_region", key)
        .with("target_region", target),
        RequestError::LogGroupReserved(name) => StatusDetails::new(format!(
            "log group {name} is reserved for AWS, because its name begins with aws/: use another log group"
        ))
        .with("log_group_name", name),
        RequestError::AccountNotFound(UnresolvedLocation { account, region }) => {
            let account = account.map_or_else(String::new, |account| account.to_string());
            let region = region.as_ref().map_or_else(String::new, ToString::to_string);
            let named = [("account", &account), ("Region", &region)]
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(what, value)| format!("{what} {value}"))
                .collect::<Vec<_>>()
                .join(" in ");
            let named = if named.is_empty() { "any account".into() } else { named };
            StatusDetails::new(format!(
                "your tenant has no grant for {named}: use an account and Region that GetCaller lists"
            ))
            .with("account_id", account)
            .with("region", region)
        }
        RequestError::LogGroupNotFound { name, location } => {
            let mut details = StatusDetails::new(format!(
                "log group {name} does not exist in account {} and Region {}, or your tenant may not see it: check the name, account and Region",
                location.account, location.region
            ))
            .with("log_group_name", name)
            .with("account_id", location.account)
            .with("region", &location.region);
            details.details.set_resource_info("log_group", name.as_str(), "", "not found");
            details
        }
        RequestError::RuleNotFound(id) => {
            let mut details = StatusDetails::new(format!(
                "encryption rule {id} does not exist, or your token may not read it: use an id that ListEncryptionRules lists"
            ))
            .with("id", id);
            details.details.set_resource_info("encryption_rule", id.to_string(), "", "not found");
            details
        }
        RequestError::KeyNotFound { key, location } => {
            let mut details = StatusDetails::new(format!(
                "KMS key {key} does not exist for account {} and Region {}, or your tenant may not use it: check the key, account and Region",
                location.account, location.region
            ))
            .with("kms_key_id", key)
            .with("region", &location.region);
            details.details.set_resource_info("kms_key", key.to_string(), "", "not found");
            details
        }
    }
}

fn aws_call_details(error: &AwsCallError) -> StatusDetails {
    match error {
        AwsCallError::Refused { refusal, answer } => refusal_details(*refusal, answer),
        AwsCallError::Diagnosed { cause, answer, repetition } => {
            explained_details(cause, answer, *repetition)
        }
        AwsCallError::RoleNotAssumable { refusal, answer } => role_details(*refusal, answer),
        AwsCallError::ServiceMisconfigured { fault } => service_fault_details(*fault),
        AwsCallError::Conflict { answer } => StatusDetails::new(
            "another change of the same resource was still in flight at the deadline: retry",
        )
        .with_retry(SHORT_RETRY)
        .with_aws_error(answer),
        AwsCallError::BudgetExhausted { retry_after } => StatusDetails::new(format!(
            "AWS's quota for this operation, account and Region allows no more calls before the deadline; nothing was sent to AWS: retry after {} ms, or set a longer deadline",
            retry_after.as_millis().max(1)
        ))
        .with_retry(*retry_after)
        .with_quota("aws-account", "calls per second of this operation in this account and Region"),
        AwsCallError::Throttled { retry_after, answer } => {
            StatusDetails::new("AWS throttled the call until the deadline; nothing was changed: retry later")
                .with_retry(*retry_after)
                .with_quota("aws-account", "AWS's quota, which other clients in the account share")
                .with_aws_error(answer)
        }
        AwsCallError::StsThrottled { answer } => StatusDetails::new(
            "STS throttled this service when it assumed the role; nothing was sent: retry later",
        )
        .with_retry(SHORT_RETRY)
        .with_quota("aws-account", "calls per second of AssumeRole in this service's own account")
        .with_aws_error(answer),
        AwsCallError::Unavailable { answer, source } => {
            let message = match source.as_ref().and_then(|source| failed_step(&**source)) {
                Some(step) => format!("AWS is not reachable, because {step}: retry"),
                None => "AWS is not reachable, or responded with a server error: retry".to_owned(),
            };
            let details = StatusDetails::new(message).with_retry(SHORT_RETRY);
            answer.iter().fold(details, StatusDetails::with_aws_error)
        }
        AwsCallError::DeadlineBeforeAws => {
            StatusDetails::new("the deadline passed before anything was sent to AWS: retry with a longer deadline")
                .with("sent", "false")
        }
    }
}

fn change_details(error: &ChangeError) -> StatusDetails {
    match error {
        ChangeError::RequestIdReused => StatusDetails::new(
            "request_id belongs to a different request of the last 24 hours: use a new UUID for each request, and the same one only to repeat a request",
        )
        .with_bad_field("request_id", "belongs to a different request"),
        ChangeError::ExpectedKeyMismatch { current_key } => {
            let current_key = current_key.as_ref().map(ToString::to_string).unwrap_or_default();
            let current = if current_key.is_empty() { "no key" } else { current_key.as_str() };
            StatusDetails::new(format!(
                "expected_kms_key_id does not match, because the resource has {current}; nothing was sent to AWS: read the association, then decide again"
            ))
            .with("kms_key_arn", &current_key)
            .with("sent", "false")
        }
        ChangeError::ResourceLocked => StatusDetails::new(
            "another change of the same resource was still in flight at the deadline; nothing was sent to AWS: retry",
        )
        .with_retry(SHORT_RETRY)
        .with("sent", "false"),
        ChangeError::RequestInFlight => StatusDetails::new(
            "the first request with this request_id was still in flight at the deadline: retry with the same request_id",
        )
        .with_retry(SHORT_RETRY),
        ChangeError::OutcomeNotRecorded { aws_request_id } => {
            let details = StatusDetails::new(
                "AWS made the change, but its record in the audit log is still pending: read the association before you repeat the call",
            )
            .with("sent", "true")
            .with("executed", "true")
            .with("audit_record", "pending");
            aws_request_id.iter().fold(details, |details, id| details.with("aws_request_id", id))
        }
        ChangeError::OutcomeUnknown { event, .. } => {
            let details = StatusDetails::new(
                "the change was sent to AWS, but no response came in time, so its outcome is unknown: read the association, or repeat the call, which is safe",
            )
            .with("sent", "true");
            event.iter().fold(details, |details, event| details.with("audit_event_id", event))
        }
    }
}

fn fleet_details(error: &FleetError) -> StatusDetails {
    match error {
        FleetError::JobNotFound(id) => {
            let mut details = StatusDetails::new(format!(
                "bulk job {id} does not exist, or your token may not read it: check the id; jobs are deleted some time after they ended"
            ))
            .with("id", id);
            details.details.set_resource_info("bulk_association", id.to_string(), "", "not found");
            details
        }
        FleetError::State(refused) => StatusDetails::new(refused.to_string())
            .with_precondition("JOB_STATE", refused.advice)
            .with("state", refused.state.as_str()),
        FleetError::EtagMismatch { current } => StatusDetails::new(
            "the object changed since you read it: read it again, and repeat the call with its new etag",
        )
        .with("etag", current),
        FleetError::TooManyJobs { max } => StatusDetails::new(format!(
            "your tenant has {max} bulk jobs that have not ended, which is its maximum: wait until one ends, or cancel one"
        ))
        .with_retry(STREAM_RETRY_AFTER)
        .with_quota("tenant", "bulk jobs that have not ended"),
        FleetError::RuleReadOnly(id) => StatusDetails::new(format!(
            "encryption rule {id} comes from the configuration of this service, so calls cannot change it: ask the operator to change [[tenants.rules]], or create another rule"
        ))
        .with_precondition("RULE_READ_ONLY", "change the rule in the configuration")
        .with("id", id),
        FleetError::RuleDisabled(id) => StatusDetails::new(format!(
            "encryption rule {id} is disabled: set its state to RULE_STATE_ACTIVE with UpdateEncryptionRule"
        ))
        .with_precondition("RULE_STATE", "set the state to RULE_STATE_ACTIVE")
        .with("id", id),
        FleetError::TooManyRules { max } => StatusDetails::new(format!(
            "your tenant has {max} encryption rules, which is its maximum: delete one, or select more with one rule"
        ))
        .with_retry(STREAM_RETRY_AFTER)
        .with_quota("tenant", "encryption rules"),
        FleetError::Contended => {
            StatusDetails::new("other calls changed the job at the same time: retry").with_retry(SHORT_RETRY)
        }
        FleetError::TooManyItems { max } => StatusDetails::new(format!(
            "the selection has more than {max} resources, the maximum of a job: select fewer accounts, Regions or log groups"
        )),
        FleetError::NoLocation => StatusDetails::new(
            "none of the selected accounts and Regions can be entered: the locations of the job say why",
        ),
    }
}

fn storage_details(error: &StorageError) -> StatusDetails {
    match error {
        StorageError::AuditUnavailable(_) => {
            StatusDetails::new("the audit log is not writable, so nothing was sent to AWS: retry")
                .with_retry(SHORT_RETRY)
                .with("sent", "false")
        }
        StorageError::ArchiveUnavailable(_) => StatusDetails::new(
            "the service cannot read the archive of its audit log: retry, and tell the operator if it persists; events that are not archived can be read",
        )
        .with_retry(SHORT_RETRY),
        StorageError::RecordUnavailable(_) => {
            StatusDetails::new("the service cannot read its record of associations: retry")
                .with_retry(SHORT_RETRY)
        }
    }
}

/// The message of an error that a read of the audit log, or a stream of it, ends with.
fn audit_read_details(error: &ReadError) -> StatusDetails {
    match error {
        ReadError::EventNotFound(id) => {
            let mut details = StatusDetails::new(format!(
                "audit event {id} does not exist, or your token may not read it: check the id"
            ))
            .with("event_id", id);
            details.details.set_resource_info("audit_event", id.to_string(), "", "not found");
            details
        }
        ReadError::EventsArchived { first } => {
            let last = first.saturating_sub(1);
            StatusDetails::new(format!(
                "the events up to position {last} were archived, and this service cannot read their archive: read from position {first} on (after_position {last}), or ask the operator, who can set audit.archive or read the archive with `logkey audit list --archive`"
            ))
            .with("first_position", first)
        }
        ReadError::NotSignedYet => {
            StatusDetails::new("no signed checkpoint covers the event yet: retry").with_retry(SHORT_RETRY)
        }
        ReadError::TooManyStreams => StatusDetails::new(
            "the limit of open streams is reached: close a stream, or use ListAuditEvents",
        )
        .with_retry(STREAM_RETRY_AFTER)
        .with_quota("tenant", "open streams"),
        ReadError::StreamNotRead => StatusDetails::new(
            "the client did not read from this stream for too long: open it again from the last position, and read it continuously",
        )
        .with_retry(SHORT_RETRY),
        ReadError::TokenExpired => {
            StatusDetails::new("the token has expired: get a new one, and open the stream again from the last position")
        }
        ReadError::TokenInvalid => StatusDetails::new("the token is no longer valid: open the stream again with a valid token"),
        ReadError::TokenNotVerifiable => {
            StatusDetails::new("the keys of the token's issuer are not available: open the stream again later")
        }
        ReadError::ShuttingDown => StatusDetails::new("the service is stopping: open the stream again from the last position")
            .with_retry(SHORT_RETRY),
    }
}
