//! The stable reasons of every refusal, as `google.rpc.ErrorInfo` and the audit log carry them.

use std::fmt;

macro_rules! reasons {
    ($($variant:ident $name:literal $code:literal $doc:literal;)+) => {
        /// Why a call did not end in success. The name is part of the contract with callers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $doc] $variant,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name callers and the audit log see.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The name of the gRPC status code it comes with. `server::status` chooses the code
            /// itself; a test there keeps the two the same.
            #[must_use]
            pub fn code_name(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

reasons! {
    TokenMissing "TOKEN_MISSING" "UNAUTHENTICATED" "No bearer token came with the call.";
    TokenInvalid "TOKEN_INVALID" "UNAUTHENTICATED" "The token does not verify; the audit log says why.";
    TokenExpired "TOKEN_EXPIRED" "UNAUTHENTICATED" "The token's time is over.";
    ScopeMissing "SCOPE_MISSING" "PERMISSION_DENIED" "The token lacks a scope.";
    NotAllowed "NOT_ALLOWED" "PERMISSION_DENIED" "Policy says no.";
    TenantSuspended "TENANT_SUSPENDED" "PERMISSION_DENIED" "The tenant is suspended.";
    FieldInvalid "FIELD_INVALID" "INVALID_ARGUMENT" "Fields of the request cannot be used.";
    RequestIdReused "REQUEST_ID_REUSED" "INVALID_ARGUMENT" "The request id came with another request before.";
    KeyRegionMismatch "KEY_REGION_MISMATCH" "INVALID_ARGUMENT" "The key is in another Region than the target.";
    LogGroupReserved "LOG_GROUP_RESERVED" "INVALID_ARGUMENT" "The log group belongs to AWS.";
    LogGroupNotFound "LOG_GROUP_NOT_FOUND" "NOT_FOUND" "No such log group, or none the tenant may see.";
    AccountNotFound "ACCOUNT_NOT_FOUND" "NOT_FOUND" "No such account or Region, or none the tenant may see.";
    KeyNotFound "KEY_NOT_FOUND" "NOT_FOUND" "No such key, or none the tenant may see.";
    AuditEventNotFound "AUDIT_EVENT_NOT_FOUND" "NOT_FOUND" "No such audit event, or none the tenant may see.";
    KeyDisabled "KEY_DISABLED" "FAILED_PRECONDITION" "The key is disabled.";
    KeyPendingDeletion "KEY_PENDING_DELETION" "FAILED_PRECONDITION" "The key's deletion is scheduled.";
    KeyNotSymmetric "KEY_NOT_SYMMETRIC" "FAILED_PRECONDITION" "The key is not a symmetric encryption key.";
    KeyNotCustomerManaged "KEY_NOT_CUSTOMER_MANAGED" "FAILED_PRECONDITION" "AWS manages the key.";
    KeyPolicyLacksLogsService "KEY_POLICY_LACKS_LOGS_SERVICE" "FAILED_PRECONDITION" "The key's policy does not let CloudWatch Logs use it.";
    KeyPolicyConditionMismatch "KEY_POLICY_CONDITION_MISMATCH" "FAILED_PRECONDITION" "The key's policy lets CloudWatch Logs use it, but not for this target.";
    KeyNotUsable "KEY_NOT_USABLE" "FAILED_PRECONDITION" "AWS refused the key and no check could say why.";
    RoleLacksKmsPermission "ROLE_LACKS_KMS_PERMISSION" "FAILED_PRECONDITION" "The assumed role may not use the key.";
    RoleLacksLogsPermission "ROLE_LACKS_LOGS_PERMISSION" "FAILED_PRECONDITION" "The assumed role may not make the call.";
    RoleNotAssumable "ROLE_NOT_ASSUMABLE" "FAILED_PRECONDITION" "The tenant's role cannot be assumed.";
    DeniedByOrganization "DENIED_BY_ORGANIZATION" "FAILED_PRECONDITION" "A policy of the AWS organization denies the call.";
    ConflictingChange "CONFLICTING_CHANGE" "ABORTED" "Another change of the same resource is under way.";
    ExpectedKeyMismatch "EXPECTED_KEY_MISMATCH" "ABORTED" "The key in force is another than expected.";
    TenantRateLimited "TENANT_RATE_LIMITED" "RESOURCE_EXHAUSTED" "The tenant calls more often than it may.";
    TenantConcurrencyLimited "TENANT_CONCURRENCY_LIMITED" "RESOURCE_EXHAUSTED" "The tenant has more calls under way than it may.";
    AccountBudgetExhausted "ACCOUNT_BUDGET_EXHAUSTED" "RESOURCE_EXHAUSTED" "The account's AWS quota leaves no turn within the deadline.";
    AwsThrottled "AWS_THROTTLED" "RESOURCE_EXHAUSTED" "AWS throttled the call.";
    StreamNotRead "STREAM_NOT_READ" "RESOURCE_EXHAUSTED" "The client took nothing from its stream for too long.";
    AuditUnavailable "AUDIT_UNAVAILABLE" "UNAVAILABLE" "The audit log cannot be written.";
    AwsUnavailable "AWS_UNAVAILABLE" "UNAVAILABLE" "AWS did not answer, or answered with a fault of its own.";
    IdentityProviderUnavailable "IDENTITY_PROVIDER_UNAVAILABLE" "UNAVAILABLE" "The issuer's keys cannot be had.";
    Overloaded "OVERLOADED" "UNAVAILABLE" "The service has more to do than it takes.";
    ShuttingDown "SHUTTING_DOWN" "UNAVAILABLE" "The service is stopping.";
    DeadlineBeforeAws "DEADLINE_BEFORE_AWS" "DEADLINE_EXCEEDED" "The deadline passed before anything was sent to AWS.";
    OutcomeUnknown "OUTCOME_UNKNOWN" "DEADLINE_EXCEEDED" "The call was sent to AWS and no answer came.";
    MethodUnknown "METHOD_UNKNOWN" "UNIMPLEMENTED" "The service has no such method.";
    Internal "INTERNAL" "INTERNAL" "A defect of this service.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
