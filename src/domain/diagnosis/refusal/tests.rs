use std::time::Duration;

use super::*;
use crate::domain::{association::Target, diagnosis::Outcome};

const POLICIES: [DenyingPolicy; 8] = DenyingPolicy::ALL;

fn resource() -> Resource {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { location, target: Target::LogGroup("/app".parse().unwrap()) }
}

fn check(action: DeniedAction, by: DenyingPolicy, explicit: bool) -> Check {
    let (role, key) = (
        "arn:aws:iam::111122223333:role/R".parse().unwrap(),
        "arn:aws:kms:eu-west-1:111122223333:key/k".parse().unwrap(),
    );
    let denial = AccessDenial { action, by, explicit };
    denied(Denied { denial, role: &role, resource: &resource(), key: Some(&key) })
}

#[test]
fn a_statement_is_offered_only_where_a_policy_of_the_account_lacks_one() {
    for action in DeniedAction::ALL {
        for by in POLICIES {
            let explicit = check(action, by, true);
            assert_eq!(explicit.document, None, "{explicit:?}");
            assert!(!explicit.remedy.contains("add this statement"), "{explicit:?}");
        }
    }
    for (action, by, needle) in [
        (DeniedAction::Kms, DenyingPolicy::Identity, "kms:ViaService"),
        (DeniedAction::Kms, DenyingPolicy::PermissionsBoundary, "kms:ViaService"),
        (DeniedAction::Kms, DenyingPolicy::Resource, "\"Principal\""),
        (DeniedAction::Logs, DenyingPolicy::Identity, "logs:AssociateKmsKey"),
        (DeniedAction::Logs, DenyingPolicy::PermissionsBoundary, "logs:AssociateKmsKey"),
    ] {
        let lacking = check(action, by, false);
        assert!(lacking.document.as_deref().unwrap().contains(needle), "{lacking:?}");
    }
    for by in [
        DenyingPolicy::Session,
        DenyingPolicy::ServiceControl,
        DenyingPolicy::ResourceControl,
        DenyingPolicy::VpcEndpoint,
    ] {
        assert_eq!(check(DeniedAction::Kms, by, false).document, None);
    }
}

#[test]
fn a_denied_read_gets_no_statement_where_a_deny_overrides_it() {
    let usual = "add this statement to the role's policy";
    let remedied = |message: &str| {
        let check = Check::not_checked(CheckName::KeyPolicy, "not read");
        check.with_remedy_for(message, usual, &serde_json::json!({ "Effect": "Allow" }))
    };
    let start = "User: arn:aws:sts::111122223333:assumed-role/R/s is not authorized to perform: kms:GetKeyPolicy on resource: arn:aws:kms:eu-west-1:111122223333:key/k";
    for policy in [
        "an identity-based policy",
        "a resource-based policy",
        "a permissions boundary",
        "a session policy",
        "a service control policy",
        "a resource control policy",
        "a VPC endpoint policy",
    ] {
        let denied = remedied(&format!("{start} with an explicit deny in {policy}"));
        assert_eq!(denied.document, None, "{denied:?}");
        assert!(!denied.remedy.contains("add this statement") && !denied.remedy.is_empty(), "{denied:?}");
    }
    assert_eq!(remedied(&format!("{start} with an explicit deny")).document, None);
    let lacking =
        remedied(&format!("{start} because no identity-based policy allows the kms:GetKeyPolicy action"));
    assert_eq!((lacking.remedy.as_str(), lacking.document.is_some()), (usual, true));
    let boundary =
        remedied(&format!("{start} because no permissions boundary allows the kms:GetKeyPolicy action"));
    assert!(boundary.remedy.contains("permissions boundary") && boundary.document.is_some(), "{boundary:?}");
    assert_eq!(remedied("no answer").remedy, usual);
}

#[test]
fn every_denial_has_an_answer_of_its_own() {
    let of = |explicit| POLICIES.map(|by| check(DeniedAction::Kms, by, explicit));
    let mut answers: Vec<(String, String)> =
        of(false).into_iter().chain(of(true)).map(|check| (check.detail, check.remedy)).collect();
    answers.sort_unstable();
    answers.dedup();
    // The message without a policy means the role's own, and only the operator can change two of them.
    assert_eq!(answers.len(), 2 * POLICIES.len() - 4, "{answers:#?}");
}

#[test]
fn a_boundary_names_itself_and_not_the_roles_policy() {
    let check = check(DeniedAction::Logs, DenyingPolicy::PermissionsBoundary, false);
    assert_eq!(check.cause.as_deref(), Some("PERMISSIONS_BOUNDARY"));
    assert!(
        check.remedy.contains("permissions boundary") && check.remedy.contains("does not help"),
        "{check:?}"
    );
}

#[test]
fn a_fault_of_the_service_names_the_operator_and_no_settings() {
    for fault in ServiceFault::ALL {
        let check = service_misconfigured(fault, false);
        assert_eq!(check.outcome, Outcome::Failed(Reason::ServiceMisconfigured));
        assert!(check.remedy.contains("operator") && !check.remedy.contains("aws."), "{check:?}");
        assert!(check.detail.contains("service") || fault == ServiceFault::Partition, "{check:?}");
        assert_eq!(check.cause.as_deref(), Some(fault.as_str()));
    }
}

#[test]
fn a_role_that_cannot_be_assumed_has_the_advice_that_helps() {
    let advice = |refusal| role_not_assumable(refusal, "").remedy;
    let tag = advice(AssumeRoleRefusal::Denied(RoleAction::TagSession));
    assert!(tag.contains("sts:TagSession") && !tag.contains("external id"), "{tag}");
    let source = advice(AssumeRoleRefusal::TrustPolicyLacks(RoleAction::SetSourceIdentity));
    assert!(source.contains("sts:SetSourceIdentity"), "{source}");
    let deny = advice(AssumeRoleRefusal::TrustPolicyDenies(RoleAction::AssumeRole));
    assert!(deny.contains("overrides") && !deny.contains("allow this service"), "{deny}");
    let requested = Duration::from_hours(2);
    let long = role_not_assumable(AssumeRoleRefusal::SessionTooLong { requested }, "");
    assert!(long.remedy.contains("7200") && !long.remedy.contains("trust"), "{long:?}");
    assert_eq!(long.reason(), Some(Reason::RoleSessionTooLong));
    let organization = role_not_assumable(AssumeRoleRefusal::Organization, "");
    assert_eq!(organization.reason(), Some(Reason::DeniedByOrganization));
}

#[test]
fn a_trust_policy_gets_the_statements_that_it_lacks_without_the_external_id() {
    let message = "User: arn:aws:sts::999999999999:assumed-role/LogKeyHub/i-1 is not authorized to perform: \
                   sts:AssumeRole on resource: arn:aws:iam::111122223333:role/R";
    let document = |refusal| -> Option<serde_json::Value> {
        let check = role_not_assumable(refusal, message);
        check.document.map(|document| serde_json::from_str(&document).unwrap())
    };
    let service = serde_json::json!({ "AWS": "arn:aws:iam::999999999999:role/LogKeyHub" });
    let whole = document(AssumeRoleRefusal::Denied(RoleAction::AssumeRole)).unwrap();
    assert_eq!(whole[0]["Condition"]["StringEquals"]["sts:ExternalId"], remedy::EXTERNAL_ID);
    assert_eq!((&whole[0]["Principal"], &whole[1]["Principal"]), (&service, &service));
    let tag = document(AssumeRoleRefusal::TrustPolicyLacks(RoleAction::TagSession)).unwrap();
    assert_eq!(tag, whole[1]);
    for refusal in [
        AssumeRoleRefusal::TrustPolicyDenies(RoleAction::AssumeRole),
        AssumeRoleRefusal::Organization,
        AssumeRoleRefusal::RegionDisabled,
        AssumeRoleRefusal::Other,
    ] {
        assert_eq!(document(refusal), None, "{refusal:?}");
    }
    let unnamed = role_not_assumable(AssumeRoleRefusal::Denied(RoleAction::AssumeRole), "Access denied");
    assert_eq!(unnamed.document, None, "the statement must name the service");
}
