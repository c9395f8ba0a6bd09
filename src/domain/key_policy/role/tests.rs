use serde_json::{Value, json};

use super::*;
use crate::domain::association::{Location, Target};

const ROLE: &str = "arn:aws:iam::111122223333:role/security/LogKeyAssociator";
const GROUP: &str = "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web";
const ROOT: &str = "arn:aws:iam::111122223333:root";

fn access(statements: &Value) -> PrincipalAccess {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let resource = Resource { location, target: Target::LogGroup("/app/web".parse().unwrap()) };
    let text = json!({ "Statement": statements }).to_string();
    let key = "arn:aws:kms:eu-west-1:111122223333:key/k".parse().unwrap();
    KeyPolicy::parse(&text).unwrap().principal_access(&key, &ROLE.parse().unwrap(), &resource, "kms:Encrypt")
}

fn allow(principal: &Value) -> Value {
    json!({ "Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*" })
}

fn with(mut statement: Value, name: &str, value: Value) -> Value {
    statement[name] = value;
    statement
}

fn unclear(access: &PrincipalAccess) -> bool {
    matches!(access, PrincipalAccess::Unclear { .. })
}

#[test]
fn a_statement_names_the_role_delegates_to_its_account_or_does_neither() {
    for account in [json!({ "AWS": ROOT }), json!({ "AWS": ["111122223333"] })] {
        assert_eq!(access(&allow(&account)), PrincipalAccess::Delegated, "{account}");
    }
    for role in [json!({ "AWS": [ROOT, ROLE] }), json!({ "AWS": ROLE }), json!("*"), json!({ "AWS": "*" })] {
        assert_eq!(access(&allow(&role)), PrincipalAccess::Named, "{role}");
    }
    for other in [
        json!({ "AWS": "arn:aws:iam::444455556666:root" }),
        json!({ "AWS": "arn:aws:iam::111122223333:role/LogKeyAssociator" }),
        json!({ "AWS": "arn:aws-cn:iam::111122223333:root" }),
        json!({ "Service": "logs.eu-west-1.amazonaws.com" }),
        json!({ "Federated": "cognito-identity.amazonaws.com" }),
    ] {
        assert_eq!(access(&allow(&other)), PrincipalAccess::NotMentioned, "{other}");
    }
    let session = json!({ "AWS": "arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/someone" });
    assert!(unclear(&access(&allow(&session))));
}

#[test]
fn conditions_are_evaluated_for_a_call_through_cloudwatch_logs() {
    let everyone = allow(&json!({ "AWS": "*" }));
    for (operator, key, value, expected) in [
        ("StringEquals", "kms:CallerAccount", "111122223333", PrincipalAccess::Named),
        ("StringEquals", "kms:ViaService", "logs.eu-west-1.amazonaws.com", PrincipalAccess::Named),
        ("StringLike", "kms:ViaService", "logs.*.amazonaws.com", PrincipalAccess::Named),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/security/*", PrincipalAccess::Named),
        ("Bool", "aws:ViaAWSService", "true", PrincipalAccess::Named),
        ("StringEquals", "kms:CallerAccount", "444455556666", PrincipalAccess::NotMentioned),
        ("StringEquals", "kms:ViaService", "ec2.eu-west-1.amazonaws.com", PrincipalAccess::NotMentioned),
        ("Bool", "aws:PrincipalIsAWSService", "true", PrincipalAccess::NotMentioned),
        ("StringEquals", "kms:EncryptionContext:aws:logs:arn", GROUP, PrincipalAccess::Named),
        ("StringEquals", "kms:EncryptionContext:aws:logs:arn", "x", PrincipalAccess::NotMentioned),
        ("Null", "kms:EncryptionContext:department", "false", PrincipalAccess::NotMentioned),
        ("ForAllValues:StringEquals", "kms:EncryptionContextKeys", "aws:logs:arn", PrincipalAccess::Named),
        ("StringEquals", "aws:SourceAccount", "111122223333", PrincipalAccess::NotMentioned),
        ("ArnLike", "aws:SourceArn", "arn:aws:logs:*:111122223333:*", PrincipalAccess::NotMentioned),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24", PrincipalAccess::NotMentioned),
        ("StringEquals", "aws:SourceVpce", "vpce-1", PrincipalAccess::NotMentioned),
        ("StringNotEquals", "aws:SourceVpce", "vpce-1", PrincipalAccess::Named),
        ("ForAnyValue:StringEquals", "aws:CalledVia", "athena.amazonaws.com", PrincipalAccess::NotMentioned),
        ("Bool", "aws:MultiFactorAuthPresent", "true", PrincipalAccess::NotMentioned),
        ("BoolIfExists", "aws:MultiFactorAuthPresent", "false", PrincipalAccess::Named),
        ("Bool", "kms:GrantIsForAWSResource", "true", PrincipalAccess::NotMentioned),
        ("Bool", "aws:SecureTransport", "true", PrincipalAccess::Named),
    ] {
        let condition = json!({ operator: { key: value } });
        assert_eq!(access(&with(everyone.clone(), "Condition", condition)), expected, "{key} {value}");
    }
    for (operator, key, value) in [
        ("StringEquals", "aws:PrincipalTag/team", "payments"),
        ("StringEquals", "aws:PrincipalOrgID", "o-1"),
        ("StringEquals", "aws:SourceIdentity", "someone"),
        ("StringEquals", "aws:ResourceTag/team", "payments"),
        ("ForAnyValue:StringEquals", "aws:CalledVia", "logs.amazonaws.com"),
        ("DateGreaterThan", "aws:CurrentTime", "2030-01-01T00:00:00Z"),
    ] {
        let condition = json!({ operator: { key: value } });
        assert!(unclear(&access(&with(everyone.clone(), "Condition", condition))), "{key}");
    }
}

#[test]
fn a_deny_of_the_account_denies_its_roles_unless_it_is_indeterminate() {
    let deny = |principal: Value| {
        let denial = with(with(allow(&principal), "Effect", json!("Deny")), "Sid", json!("No"));
        access(&json!([allow(&json!({ "AWS": ROLE })), denial]))
    };
    let denied = PrincipalAccess::Denied { statement: "statement \"No\"".to_owned() };
    for principal in [json!("*"), json!({ "AWS": ROOT }), json!({ "AWS": ROLE })] {
        assert_eq!(deny(principal.clone()), denied, "{principal}");
    }
    assert_eq!(deny(json!({ "AWS": "arn:aws:iam::444455556666:root" })), PrincipalAccess::Named);
    let deny_all_except = |named: &[&str]| {
        let denial = json!({ "Sid": "No", "Effect": "Deny", "NotPrincipal": { "AWS": named }, "Action": "kms:*", "Resource": "*" });
        access(&json!([allow(&json!({ "AWS": ROLE })), denial]))
    };
    assert_eq!(deny_all_except(&["arn:aws:iam::444455556666:root"]), denied);
    assert!(unclear(&deny_all_except(&[ROLE, ROOT])));
}

#[test]
fn only_statements_about_the_action_and_the_key_count() {
    let root = json!({ "AWS": ROOT });
    let reads = with(allow(&root), "Action", json!(["kms:Describe*", "kms:Get*"]));
    assert_eq!(access(&reads), PrincipalAccess::NotMentioned);
    let other_key = with(allow(&root), "Resource", json!("arn:aws:kms:eu-west-1:111122223333:key/other"));
    assert_eq!(access(&other_key), PrincipalAccess::NotMentioned);
    let all_except =
        json!({ "Effect": "Allow", "Principal": root, "NotAction": "kms:Delete*", "Resource": "*" });
    assert_eq!(access(&all_except), PrincipalAccess::Delegated);
}
