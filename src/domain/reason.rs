//! The stable reasons of failed calls, which `google.rpc.ErrorInfo` and the audit log contain.

use std::fmt;

macro_rules! reasons {
    ($($variant:ident $name:literal $code:literal $doc:literal;)+) => {
        /// Why a call failed. Callers depend on the names, so they never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $doc] $variant,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in errors and in the audit log.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The name of the reason's gRPC status code. `server::grpc::status` maps reasons to codes; a test
            /// there keeps the two consistent.
            #[must_use]
            pub fn code_name(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

reasons! {
    TokenMissing "TOKEN_MISSING" "UNAUTHENTICATED" "The call has no bearer token.";
    TokenInvalid "TOKEN_INVALID" "UNAUTHENTICATED" "The token is not valid. The audit log records why.";
    TokenExpired "TOKEN_EXPIRED" "UNAUTHENTICATED" "The token has expired.";
    ScopeMissing "SCOPE_MISSING" "PERMISSION_DENIED" "The token lacks a scope.";
    AssertedUserNotAllowed "ASSERTED_USER_NOT_ALLOWED" "PERMISSION_DENIED" "The caller may not name the person for whom it calls.";
    NotAllowed "NOT_ALLOWED" "PERMISSION_DENIED" "Policy denies the call.";
    TenantSuspended "TENANT_SUSPENDED" "PERMISSION_DENIED" "The tenant is suspended.";
    FieldInvalid "FIELD_INVALID" "INVALID_ARGUMENT" "Fields of the request are not valid.";
    RequestIdReused "REQUEST_ID_REUSED" "INVALID_ARGUMENT" "The request id was used for a different request before.";
    KeyRegionMismatch "KEY_REGION_MISMATCH" "INVALID_ARGUMENT" "The key is in another Region than the target.";
    LogGroupReserved "LOG_GROUP_RESERVED" "INVALID_ARGUMENT" "AWS reserves the name of the log group.";
    LogGroupNotFound "LOG_GROUP_NOT_FOUND" "NOT_FOUND" "The log group does not exist, or the tenant may not see it.";
    AccountNotFound "ACCOUNT_NOT_FOUND" "NOT_FOUND" "The account or Region does not exist, or the tenant may not see it.";
    KeyNotFound "KEY_NOT_FOUND" "NOT_FOUND" "The key does not exist, or the tenant may not see it.";
    BulkAssociationNotFound "BULK_ASSOCIATION_NOT_FOUND" "NOT_FOUND" "The bulk job does not exist, or the tenant may not see it.";
    EncryptionRuleNotFound "ENCRYPTION_RULE_NOT_FOUND" "NOT_FOUND" "The encryption rule does not exist, or the tenant may not see it.";
    AuditEventNotFound "AUDIT_EVENT_NOT_FOUND" "NOT_FOUND" "The audit event does not exist, or the tenant may not see it.";
    AuditEventsArchived "AUDIT_EVENTS_ARCHIVED" "OUT_OF_RANGE" "The audit events were archived, and the service cannot read their archive.";
    KeyDisabled "KEY_DISABLED" "FAILED_PRECONDITION" "The key is disabled.";
    KeyPendingDeletion "KEY_PENDING_DELETION" "FAILED_PRECONDITION" "The deletion of the key is scheduled.";
    KeyNotSymmetric "KEY_NOT_SYMMETRIC" "FAILED_PRECONDITION" "The key is not a symmetric encryption key.";
    KeyNotCustomerManaged "KEY_NOT_CUSTOMER_MANAGED" "FAILED_PRECONDITION" "AWS manages the key.";
    KeyPolicyLacksLogsService "KEY_POLICY_LACKS_LOGS_SERVICE" "FAILED_PRECONDITION" "The key's policy does not let CloudWatch Logs use the key.";
    KeyPolicyConditionMismatch "KEY_POLICY_CONDITION_MISMATCH" "FAILED_PRECONDITION" "The key's policy lets CloudWatch Logs use the key, but not for this target.";
    KeyNotUsable "KEY_NOT_USABLE" "FAILED_PRECONDITION" "AWS refused the key, and no check found the cause.";
    RoleLacksKmsPermission "ROLE_LACKS_KMS_PERMISSION" "FAILED_PRECONDITION" "The assumed role may not use the key.";
    RoleLacksLogsPermission "ROLE_LACKS_LOGS_PERMISSION" "FAILED_PRECONDITION" "The assumed role lacks a CloudWatch Logs permission.";
    RoleNotAssumable "ROLE_NOT_ASSUMABLE" "FAILED_PRECONDITION" "The tenant's role cannot be assumed.";
    RegionNotEnabled "REGION_NOT_ENABLED" "FAILED_PRECONDITION" "The account has probably not enabled the Region.";
    AccountNotSubscribed "ACCOUNT_NOT_SUBSCRIBED" "FAILED_PRECONDITION" "The account is not signed up for the AWS service, or is suspended.";
    RoleSessionTooLong "ROLE_SESSION_TOO_LONG" "FAILED_PRECONDITION" "The tenant's role does not allow sessions as long as this service requests.";
    DeniedByOrganization "DENIED_BY_ORGANIZATION" "FAILED_PRECONDITION" "A policy of the AWS organization denies the call.";
    JobState "JOB_STATE" "FAILED_PRECONDITION" "The call does not fit the state of the bulk job.";
    RuleState "RULE_STATE" "FAILED_PRECONDITION" "The call does not fit the state of the encryption rule.";
    RuleReadOnly "RULE_READ_ONLY" "FAILED_PRECONDITION" "The encryption rule stands in the configuration and cannot be changed by a call.";
    EtagMismatch "ETAG_MISMATCH" "ABORTED" "The object changed since the caller read it.";
    ConflictingChange "CONFLICTING_CHANGE" "ABORTED" "Another change of the same resource is in progress.";
    ExpectedKeyMismatch "EXPECTED_KEY_MISMATCH" "ABORTED" "The current key is not the expected one.";
    TenantRateLimited "TENANT_RATE_LIMITED" "RESOURCE_EXHAUSTED" "The tenant exceeded its call rate.";
    TenantConcurrencyLimited "TENANT_CONCURRENCY_LIMITED" "RESOURCE_EXHAUSTED" "The tenant exceeded its number of calls in flight.";
    AccountBudgetExhausted "ACCOUNT_BUDGET_EXHAUSTED" "RESOURCE_EXHAUSTED" "The account's AWS quota has no permit left within the deadline.";
    TenantJobsLimited "TENANT_JOBS_LIMITED" "RESOURCE_EXHAUSTED" "The tenant has as many open bulk jobs as it may have.";
    TenantRulesLimited "TENANT_RULES_LIMITED" "RESOURCE_EXHAUSTED" "The tenant has as many encryption rules as it may have.";
    TooManyItems "TOO_MANY_ITEMS" "RESOURCE_EXHAUSTED" "The selection has more resources than a bulk job may have.";
    AwsThrottled "AWS_THROTTLED" "RESOURCE_EXHAUSTED" "AWS throttled the call.";
    StreamNotRead "STREAM_NOT_READ" "RESOURCE_EXHAUSTED" "The client did not read its stream for too long.";
    ServiceMisconfigured "SERVICE_MISCONFIGURED" "UNAVAILABLE" "The operator of this service must act. The metadata has the cause.";
    AuditUnavailable "AUDIT_UNAVAILABLE" "UNAVAILABLE" "The audit log cannot be written.";
    AwsUnavailable "AWS_UNAVAILABLE" "UNAVAILABLE" "AWS did not respond, or failed with an internal error.";
    IdentityProviderUnavailable "IDENTITY_PROVIDER_UNAVAILABLE" "UNAVAILABLE" "The issuer's keys cannot be fetched.";
    Overloaded "OVERLOADED" "UNAVAILABLE" "The service is overloaded and rejects calls.";
    ShuttingDown "SHUTTING_DOWN" "UNAVAILABLE" "The service is stopping.";
    DeadlineBeforeAws "DEADLINE_BEFORE_AWS" "DEADLINE_EXCEEDED" "The deadline passed before anything was sent to AWS.";
    OutcomeUnknown "OUTCOME_UNKNOWN" "DEADLINE_EXCEEDED" "The call was sent to AWS, and AWS did not respond.";
    MethodUnknown "METHOD_UNKNOWN" "UNIMPLEMENTED" "The service has no such method.";
    Internal "INTERNAL" "INTERNAL" "A defect of this service.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
