use std::time::Duration;

use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;

fn refused(code: Code, reason: &str) -> Failure {
    let details = ErrorDetails::with_error_info(reason, "keyassociation.v1", []);
    Failure::Refused(Box::new(Status::with_error_details(code, "no", details)))
}

#[test]
fn each_code_has_the_documented_exit_code() {
    for (code, reason, expected) in [
        (Code::FailedPrecondition, "KEY_DISABLED", 1),
        (Code::InvalidArgument, "FIELD_INVALID", 1),
        (Code::Internal, "INTERNAL", 1),
        (Code::Aborted, "EXPECTED_KEY_MISMATCH", 1),
        (Code::Aborted, "CONFLICTING_CHANGE", 5),
        (Code::Unauthenticated, "TOKEN_EXPIRED", 3),
        (Code::PermissionDenied, "NOT_ALLOWED", 3),
        (Code::NotFound, "LOG_GROUP_NOT_FOUND", 4),
        (Code::Unavailable, "SHUTTING_DOWN", 5),
        (Code::ResourceExhausted, "TENANT_RATE_LIMITED", 5),
        (Code::DeadlineExceeded, "OUTCOME_UNKNOWN", 5),
    ] {
        assert_eq!(of(&refused(code, reason)), expected, "{code:?} {reason}");
    }
}

#[test]
fn a_failure_around_another_has_its_exit_code() {
    let missing = || Box::new(refused(Code::NotFound, "LOG_GROUP_NOT_FOUND"));
    assert_eq!(of(&Failure::In { context: "a".into(), failure: missing() }), 4);
    assert_eq!(of(&Failure::WithHint { failure: missing(), hint: "b".into() }), 4);
    assert_eq!(of(&Failure::Several(vec![*missing(), Failure::Negative("c".into())])), 4);
    let timeout = Failure::Timeout { server: "d".into(), after: Duration::from_secs(20) };
    assert_eq!(of(&timeout), 5);
    assert!(timeout.can_pass() && !missing().can_pass());
}
