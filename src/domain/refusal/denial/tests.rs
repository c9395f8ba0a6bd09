use super::*;

const USER: &str = "User: arn:aws:sts::111122223333:assumed-role/R/s is not authorized to perform:";
const KEY: &str = "on resource: arn:aws:kms:eu-west-1:111122223333:key/k";

#[test]
fn every_documented_wording_names_its_policy() {
    use DenyingPolicy as P;
    for (policy, implicit, explicit) in [
        (P::ServiceControl, "because no service control policy allows the", "in a service control policy"),
        (P::ResourceControl, "because no resource control policy allows the", "in a resource control policy"),
        (P::VpcEndpoint, "because no VPC endpoint policy allows the", "in a VPC endpoint policy"),
        (P::PermissionsBoundary, "because no permissions boundary allows the", "in a permissions boundary"),
        (P::Session, "because no session policy allows the", "in a session policy"),
        (P::Resource, "because no resource-based policy allows the", "in a resource-based policy"),
        (P::Resource, "because no role trust policy allows the", "in the role trust policy"),
        (P::Identity, "because no identity-based policy allows the", "in an identity-based policy"),
    ] {
        let lacks = AccessDenial::parse(&format!("{USER} kms:Encrypt {KEY} {implicit} kms:Encrypt action"));
        assert_eq!(lacks, AccessDenial { action: DeniedAction::Kms, by: policy, explicit: false });
        for end in ["", ": arn:aws:organizations::1:policy/o-1/service_control_policy/p-1"] {
            let denies = format!("{USER} kms:Encrypt {KEY} with an explicit deny {explicit}{end}");
            let expected = AccessDenial { action: DeniedAction::Kms, by: policy, explicit: true };
            assert_eq!(AccessDenial::parse(&denies), expected, "{denies}");
        }
    }
}

#[test]
fn a_message_without_a_policy_names_only_its_action() {
    let parse = AccessDenial::parse;
    assert_eq!(parse(&format!("{USER} logs:X on resource: y")), AccessDenial::of(DeniedAction::Logs));
    assert_eq!(parse("No."), AccessDenial::of(DeniedAction::Other));
    // The wording of early messages, and the resource does not count as a policy.
    let old = parse(&format!("{USER} kms:Decrypt on resource: session-policy with an explicit deny"));
    assert_eq!(old, AccessDenial { explicit: true, ..AccessDenial::of(DeniedAction::Kms) });
}

#[test]
fn the_foreign_key_message_of_kms_names_the_key_policy_without_a_deny() {
    let message = format!(
        "{USER} kms:Encrypt {KEY} because the resource does not exist in this Region, no resource-based \
         policies allow access, or a resource-based policy explicitly denies access"
    );
    let expected = AccessDenial { action: DeniedAction::Kms, by: DenyingPolicy::Resource, explicit: false };
    assert_eq!(AccessDenial::parse(&message), expected);
}
