use super::*;

const ROLE: &str = "arn:aws:iam::111122223333:role/R";
const USER: &str = "User: arn:aws:sts::999999999999:assumed-role/Hub/s is not authorized to perform:";

/// What STS in this Region means by this error.
fn meaning_in(region: &str, code: &str, message: &str) -> Result<AssumeRoleRefusal, ServiceFault> {
    let (role, region) = (ROLE.parse().unwrap(), region.parse().unwrap());
    let requested = Requested { role: &role, region: &region, duration: Duration::from_hours(2) };
    let answer = AwsErrorDetails { code: code.into(), message: message.into(), request_id: None };
    match session_error(answer, requested) {
        SessionError::Refused { refusal, .. } => Ok(refusal),
        SessionError::Misconfigured { fault, .. } => Err(fault),
        SessionError::NoCredentials { .. }
        | SessionError::Throttled(_)
        | SessionError::Fault(_)
        | SessionError::WrongAccount(_)
        | SessionError::Expired
        | SessionError::Incomplete(_)
        | SessionError::Unreachable(_)
        | SessionError::TooLate => panic!("{code}"),
    }
}

fn meaning(code: &str, message: &str) -> Result<AssumeRoleRefusal, ServiceFault> {
    meaning_in("eu-west-1", code, message)
}

fn denied(action: &str, end: &str) -> Result<AssumeRoleRefusal, ServiceFault> {
    meaning("AccessDenied", &format!("{USER} {action} on resource: {ROLE}{end}"))
}

#[test]
fn every_denial_is_of_the_owner_of_the_policy_that_denies() {
    use AssumeRoleRefusal as Refusal;
    use RoleAction as Action;
    let lacks = |policy: &str| {
        denied("sts:AssumeRole", &format!(" because no {policy} allows the sts:AssumeRole action"))
    };
    let denies = |policy: &str| denied("sts:AssumeRole", &format!(" with an explicit deny in {policy}"));
    assert_eq!(denied("sts:AssumeRole", ""), Ok(Refusal::Denied(Action::AssumeRole)));
    assert_eq!(denied("sts:TagSession", ""), Ok(Refusal::Denied(Action::TagSession)));
    assert_eq!(denied("sts:SetSourceIdentity", ""), Ok(Refusal::Denied(Action::SetSourceIdentity)));
    for policy in ["role trust policy", "resource-based policy"] {
        assert_eq!(lacks(policy), Ok(Refusal::TrustPolicyLacks(Action::AssumeRole)), "{policy}");
    }
    for policy in ["the role trust policy", "a resource-based policy"] {
        assert_eq!(denies(policy), Ok(Refusal::TrustPolicyDenies(Action::AssumeRole)), "{policy}");
    }
    assert_eq!(denies("a resource control policy"), Ok(Refusal::Organization));
    for policy in ["identity-based policy", "permissions boundary", "session policy"] {
        assert_eq!(lacks(policy), Err(ServiceFault::AssumeRoleNotAllowed), "{policy}");
        assert_eq!(denies(&format!("a {policy}")), Err(ServiceFault::AssumeRoleNotAllowed), "{policy}");
    }
    let by_organization = Err(ServiceFault::AssumeRoleDeniedByOrganization);
    assert_eq!(lacks("service control policy"), by_organization);
    assert_eq!(denies("a service control policy"), by_organization);
    assert_eq!(lacks("VPC endpoint policy"), Err(ServiceFault::VpcEndpointPolicy));
    let root = meaning("AccessDenied", "Roles may not be assumed by root accounts.");
    assert_eq!(root, Err(ServiceFault::RootCredentials));
}

#[test]
fn every_documented_error_of_assume_role_has_its_meaning() {
    let requested = Duration::from_hours(2);
    for (code, message, expected) in [
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            Ok(AssumeRoleRefusal::SessionTooLong { requested }),
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            Err(ServiceFault::SessionDuration),
        ),
        (
            "ValidationError",
            "1 validation error detected: Value 'x' at 'externalId' failed to satisfy constraint",
            Err(ServiceFault::AssumeRoleRequest),
        ),
        (
            "PackedPolicyTooLarge",
            "Packed size of session tags consumes 112% of allotted space.",
            Err(ServiceFault::SessionPolicyTooLarge),
        ),
        ("MalformedPolicyDocument", "This policy contains invalid Json", Err(ServiceFault::SessionPolicy)),
        (
            "RegionDisabledException",
            "STS is not activated in this region for account:111122223333. Your account administrator can \
             activate STS in this region using the IAM Console.",
            Ok(AssumeRoleRefusal::RegionDisabled),
        ),
        (
            "RegionDisabledException",
            "STS is not activated in this region for account:999999999999. Your account administrator can \
             activate STS in this region using the IAM Console.",
            Err(ServiceFault::StsRegionDisabled),
        ),
        (
            "ExpiredToken",
            "The security token included in the request is expired",
            Err(ServiceFault::CredentialsExpired),
        ),
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            Err(ServiceFault::CredentialsInvalid),
        ),
        ("OptInRequired", "needs a subscription", Err(ServiceFault::AccountNotActive)),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z",
            Err(ServiceFault::Clock),
        ),
        (
            "SignatureDoesNotMatch",
            "Signature not yet current: 20260101T001000Z is still later than 20260101T000500Z",
            Err(ServiceFault::Clock),
        ),
        ("RequestExpired", "", Err(ServiceFault::Clock)),
        (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
            Err(ServiceFault::Signature),
        ),
        (
            "SignatureDoesNotMatch",
            "Credential should be scoped to a valid region.",
            Err(ServiceFault::Endpoint),
        ),
        ("IncompleteSignature", "", Err(ServiceFault::Signature)),
        ("MissingAuthenticationToken", "", Err(ServiceFault::Signature)),
        ("InvalidAction", "Could not find operation AssumeRole", Err(ServiceFault::Endpoint)),
        ("HTTP 403", "", Err(ServiceFault::Endpoint)),
        ("SomethingNew", "", Ok(AssumeRoleRefusal::Other)),
    ] {
        assert_eq!(meaning(code, message), expected, "{code}: {message}");
    }
}

#[test]
fn a_role_of_another_partition_than_the_service_is_the_operators_matter() {
    let message = format!("{USER} sts:AssumeRole on resource: {ROLE}");
    assert_eq!(meaning_in("cn-north-1", "AccessDenied", &message), Err(ServiceFault::Partition));
}

#[test]
fn a_source_without_credentials_differs_from_a_source_that_fails() {
    #[derive(Debug, thiserror::Error)]
    #[error("dispatch failure")]
    struct Dispatch(#[source] CredentialsError);
    let fault = |error: CredentialsError| credentials_error(&Dispatch(error));
    assert_eq!(fault(CredentialsError::not_loaded("no profile")), Some(ServiceFault::CredentialsMissing));
    for error in [
        CredentialsError::provider_error("the token file does not exist"),
        CredentialsError::provider_timed_out(Duration::from_secs(5)),
        CredentialsError::invalid_configuration("sso"),
        CredentialsError::unhandled("?"),
    ] {
        assert_eq!(fault(error), Some(ServiceFault::CredentialsUnavailable));
    }
    assert_eq!(credentials_error(&std::io::Error::other("reset")), None);
}
