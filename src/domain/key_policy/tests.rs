use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::association::{Location, Resource, Target};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/k";
const GROUP: &str = "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web";
const CONTEXT: &str = "kms:EncryptionContext:aws:logs:arn";

fn resource(target: Target) -> Resource {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    Resource { location, target }
}

fn group() -> Resource {
    resource(Target::LogGroup("/app/web".parse().unwrap()))
}

fn queries() -> Resource {
    resource(Target::QueryResults)
}

fn evaluate(statements: &Value, resource: &Resource) -> PolicyEvaluation {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    KeyPolicy::parse(&policy).unwrap().evaluate(&KEY.parse().unwrap(), resource)
}

/// The documented statement for log groups, with the elements in `changed` replaced, or removed if null.
fn allow(changed: &Value) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": "logs.eu-west-1.amazonaws.com" },
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": "*",
        "Condition": { "ArnEquals": { CONTEXT: GROUP } }
    });
    for (name, value) in changed.as_object().unwrap() {
        if value.is_null() {
            statement.as_object_mut().unwrap().remove(name);
        } else {
            statement[name] = value.clone();
        }
    }
    statement
}

fn with_condition(operator: &str, key: &str, value: impl Into<Value>) -> Value {
    allow(&json!({ "Condition": { operator: { key: value.into() } } }))
}

fn is_unclear(evaluation: &PolicyEvaluation) -> bool {
    matches!(evaluation, PolicyEvaluation::Unclear { .. })
}

#[test]
fn the_documented_statements_allow_their_own_kind_of_target_only() {
    assert_eq!(evaluate(&allow(&json!({})), &group()), PolicyEvaluation::Allows);
    let results = allow(&json!({ "Condition": {
        "ArnEquals": { "aws:SourceArn": "arn:aws:logs:eu-west-1:111122223333:query-result:*" },
        "StringEquals": { "aws:SourceAccount": "111122223333" }
    } }));
    assert_eq!(evaluate(&results, &queries()), PolicyEvaluation::Allows);
    for (statement, other) in [(allow(&json!({})), queries()), (results.clone(), group())] {
        let evaluated = evaluate(&statement, &other);
        assert!(matches!(evaluated, PolicyEvaluation::ConditionMismatch { .. }), "{evaluated:?}");
    }
    assert_eq!(evaluate(&json!([allow(&json!({})), results]), &queries()), PolicyEvaluation::Allows);
}

#[test]
fn every_operator_on_the_log_groups_arn_is_evaluated() {
    let whole_account = "arn:aws:logs:eu-west-1:111122223333:*";
    for (operator, value) in [
        ("ArnLike", json!(whole_account)),
        ("ArnEquals", json!(whole_account)),
        ("StringLike", json!(whole_account)),
        ("StringEquals", json!(["arn:aws:logs:eu-west-1:111122223333:log-group:/other", GROUP])),
        ("StringEqualsIgnoreCase", json!(GROUP.to_uppercase())),
        ("ForAnyValue:StringEquals", json!(GROUP)),
        ("ForAllValues:StringLike", json!("*log-group:/app/*")),
        ("ArnLikeIfExists", json!(whole_account)),
        ("ArnNotLike", json!("arn:aws:logs:*:*:log-group:/secret")),
        ("StringNotEquals", json!("x")),
        ("Null", json!("false")),
    ] {
        assert_eq!(
            evaluate(&with_condition(operator, CONTEXT, value), &group()),
            PolicyEvaluation::Allows,
            "{operator}"
        );
    }
    for (operator, value) in [
        ("ArnEquals", format!("{GROUP}:*")),
        ("StringEquals", whole_account.to_owned()),
        ("ArnLike", "arn:aws:logs:*:444455556666:*".to_owned()),
        ("ArnNotLike", whole_account.to_owned()),
        ("StringLike", "arn:aws:logs:eu-west-1:111122223333:log-group:/ap?".to_owned()),
        ("Null", "true".to_owned()),
    ] {
        let evaluated = evaluate(&with_condition(operator, CONTEXT, value.clone()), &group());
        let PolicyEvaluation::ConditionMismatch { statement, condition } = evaluated else {
            panic!("{operator}: {evaluated:?}")
        };
        assert_eq!(
            (statement.as_str(), condition),
            ("statement 1", format!("{operator} {CONTEXT} = {value}"))
        );
    }
}

#[test]
fn a_result_that_depends_on_unknown_facts_is_never_allowed() {
    for statement in [
        with_condition("StringEquals", "aws:SourceOrgID", "o-1"),
        with_condition("StringLike", "aws:PrincipalArn", "*"),
        with_condition("IpAddress", "aws:SourceIp", "0.0.0.0/0"),
        with_condition("StringEquals", "aws:ResourceTag/team", "payments"),
        with_condition("DateLessThan", "aws:CurrentTime", "2030-01-01T00:00:00Z"),
        with_condition("StringEquals", "kms:KeyOrigin", "AWS_KMS"),
        with_condition("ArnLike", CONTEXT, "arn:aws:logs:eu-west-1:${aws:PrincipalAccount}:*"),
        with_condition("ArnLike", CONTEXT, "*"),
        with_condition("SomeNewOperator", CONTEXT, GROUP),
        allow(&json!({ "Principal": { "Service": "logs.amazonaws.com" } })),
        allow(&json!({ "Principal": null, "NotPrincipal": { "AWS": "arn:aws:iam::444455556666:root" } })),
    ] {
        let evaluated = evaluate(&statement, &group());
        assert!(is_unclear(&evaluated), "{statement}: {evaluated:?}");
    }
}

#[test]
fn a_statement_for_others_or_for_fewer_actions_lacks_the_service() {
    let own_account = json!({ "AWS": "arn:aws:iam::111122223333:root" });
    for statement in [
        allow(&json!({ "Principal": own_account, "Action": "kms:*" })),
        allow(&json!({ "Principal": { "Service": "logs.us-east-1.amazonaws.com" } })),
        allow(&json!({ "Principal": { "Service": ["s3.amazonaws.com"] } })),
        allow(&json!({ "Resource": "arn:aws:kms:eu-west-1:111122223333:key/other" })),
        allow(&json!({ "Action": null, "NotAction": "kms:*" })),
    ] {
        let evaluated = evaluate(&statement, &group());
        assert_eq!(
            evaluated,
            PolicyEvaluation::LacksService { missing: REQUIRED_ACTIONS.to_vec() },
            "{statement}"
        );
    }
    let fewer = allow(&json!({ "Action": ["kms:Encrypt", "KMS:DECRYPT", "kms:DescribeKey"] }));
    let missing = vec!["kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey"];
    assert_eq!(evaluate(&fewer, &group()), PolicyEvaluation::LacksService { missing });
}

#[test]
fn a_condition_that_the_service_never_meets_does_not_allow_it() {
    let lacks = PolicyEvaluation::LacksService { missing: REQUIRED_ACTIONS.to_vec() };
    // The statement that the S3 console writes.
    let of_s3 = allow(&json!({ "Principal": { "AWS": "*" }, "Condition": { "StringEquals": {
        "kms:CallerAccount": "111122223333", "kms:ViaService": "s3.eu-west-1.amazonaws.com"
    } } }));
    assert_eq!(evaluate(&of_s3, &group()), lacks);
    for (operator, key, value) in [
        ("StringEquals", "kms:ViaService", "logs.eu-west-1.amazonaws.com"),
        ("StringEquals", "kms:CallerAccount", "111122223333"),
        ("StringEquals", "aws:PrincipalOrgID", "o-1"),
        ("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o-1/*"),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/*"),
        ("StringEquals", "aws:PrincipalTag/team", "payments"),
        ("Bool", "aws:ViaAWSService", "true"),
        ("Bool", "kms:GrantIsForAWSResource", "true"),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24"),
        ("StringEquals", "aws:SourceVpce", "vpce-1"),
        ("StringEquals", "aws:RequestedRegion", "us-east-1"),
        ("StringEquals", "kms:RequestAlias", "alias/logs"),
        ("StringEquals", "kms:KeyUsage", "SIGN_VERIFY"),
        ("StringEquals", "kms:EncryptionContext:department", "it"),
        ("StringEquals", "s3:prefix", "x"),
        ("NumericLessThan", "aws:MultiFactorAuthAge", "300"),
        ("Null", "kms:ViaService", "false"),
    ] {
        let mut statement = with_condition(operator, key, value);
        let evaluated = evaluate(&statement, &group());
        assert!(matches!(evaluated, PolicyEvaluation::ConditionMismatch { .. }), "{key}: {evaluated:?}");
        statement["Principal"] = json!("*");
        assert_eq!(evaluate(&statement, &group()), lacks, "{operator} {key}");
    }
    for (operator, key, value) in [
        ("Null", "kms:ViaService", "true"),
        ("StringEqualsIfExists", "kms:ViaService", "s3.eu-west-1.amazonaws.com"),
        ("StringEquals", "aws:PrincipalServiceName", "logs.eu-west-1.amazonaws.com"),
        ("StringEquals", "aws:RequestedRegion", "eu-west-1"),
        ("StringEquals", "aws:ResourceAccount", "111122223333"),
        ("StringEquals", "kms:KeySpec", "SYMMETRIC_DEFAULT"),
        ("StringEquals", "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"),
        ("Bool", "kms:MultiRegion", "false"),
        ("ForAllValues:StringEquals", "kms:EncryptionContextKeys", "aws:logs:arn"),
        ("Bool", "aws:SecureTransport", "true"),
    ] {
        let statement = with_condition(operator, key, value);
        assert_eq!(evaluate(&statement, &group()), PolicyEvaluation::Allows, "{operator} {key}");
    }
}

#[test]
fn a_policy_without_describe_key_allows_the_service() {
    let documented = allow(&json!({}));
    let without = allow(&json!({
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"]
    }));
    let elsewhere = allow(&json!({
        "Action": "kms:DescribeKey",
        "Condition": { "StringEquals": { "kms:ViaService": "s3.eu-west-1.amazonaws.com" } }
    }));
    for statements in [json!([documented]), json!([without]), json!([without, elsewhere])] {
        assert_eq!(evaluate(&statements, &group()), PolicyEvaluation::Allows, "{statements}");
    }
}

#[test]
fn every_form_of_principals_and_actions_is_parsed() {
    for changed in [
        json!({ "Principal": "*" }),
        json!({ "Principal": { "AWS": "*" } }),
        json!({ "Principal": { "AWS": ["arn:aws:iam::1:root"], "Service": ["a.amazonaws.com", "logs.eu-west-1.amazonaws.com"] } }),
        json!({ "Action": "*" }),
        json!({ "Action": "kms:*" }),
        json!({ "Action": null, "NotAction": ["kms:ScheduleKeyDeletion", "kms:Put*"] }),
        json!({ "Resource": KEY }),
        json!({ "Resource": null, "NotResource": "arn:aws:kms:*:*:key/other" }),
        json!({ "Condition": null }),
    ] {
        assert_eq!(evaluate(&allow(&changed), &group()), PolicyEvaluation::Allows, "{changed}");
    }
}

#[test]
fn a_deny_overrides_and_an_indeterminate_deny_makes_the_result_unclear() {
    let deny = |changed: Value| {
        let mut statement = allow(&json!({ "Effect": "Deny", "Sid": "Keep out", "Condition": null }));
        statement.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        statement
    };
    let both = |deny: Value| evaluate(&json!([allow(&json!({})), deny]), &group());
    let denied = PolicyEvaluation::Denied { statement: "statement \"Keep out\"".to_owned() };
    assert_eq!(both(deny(json!({}))), denied);
    assert_eq!(both(deny(json!({ "Principal": "*", "Action": "kms:Decrypt" }))), denied);
    assert_eq!(
        both(deny(json!({ "Principal": { "AWS": "arn:aws:iam::1:root" } }))),
        PolicyEvaluation::Allows
    );
    for key in ["aws:SourceOrgID", "aws:SourceAccount"] {
        let unless_ours = json!({ "Condition": { "StringNotEquals": { key: "o-1" } } });
        let evaluated = both(deny(unless_ours));
        assert!(matches!(evaluated, PolicyEvaluation::MayBeDenied { .. }), "{key}: {evaluated:?}");
    }
    for key in ["aws:PrincipalOrgID", "aws:SourceVpce", "aws:PrincipalAccount", "kms:ViaService"] {
        let unless_ours = json!({ "Condition": { "StringNotEquals": { key: "o-1" } } });
        assert_eq!(both(deny(unless_ours)), denied, "{key}");
    }
    for (operator, key, value) in [
        ("Bool", "aws:SecureTransport", "false"),
        ("StringEquals", "kms:ViaService", "ec2.eu-west-1.amazonaws.com"),
        ("Bool", "kms:GrantIsForAWSResource", "false"),
        ("Bool", "aws:ViaAWSService", "true"),
        ("StringEquals", "aws:PrincipalOrgID", "o-1"),
        ("BoolIfExists", "aws:PrincipalIsAWSService", "false"),
        ("StringNotEquals", "aws:RequestedRegion", "eu-west-1"),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", "team"),
    ] {
        let other = json!({ "Principal": "*", "Condition": { operator: { key: value } } });
        assert_eq!(both(deny(other)), PolicyEvaluation::Allows, "{operator} {key}");
    }
    let unless_a_service =
        json!({ "Principal": "*", "Condition": { "Bool": { "aws:PrincipalIsAWSService": "false" } } });
    assert_eq!(both(deny(unless_a_service)), PolicyEvaluation::Allows);
}

#[test]
fn service_principals_in_china_have_the_suffix_cn() {
    let location =
        Location { account: "111122223333".parse().unwrap(), region: "cn-north-1".parse().unwrap() };
    assert_eq!(service_principal(&location), "logs.cn-north-1.amazonaws.com.cn");
}

#[test]
fn a_text_that_is_not_a_policy_is_rejected() {
    for text in ["", "x", "[]", "{}", r#"{"Statement":[1]}"#, r#"{"Statement":{"Effect":"Maybe"}}"#] {
        assert!(KeyPolicy::parse(text).is_err(), "{text}");
    }
    assert_eq!(KeyPolicy::parse(&" ".repeat(70_000)), Err(UnreadablePolicy::TooLong));
    let misspelled = json!({ "Statement": allow(&json!({ "Pricipal": "*" })) }).to_string();
    assert!(KeyPolicy::parse(&misspelled).is_err(), "a misspelled element must not be ignored");
}

fn naive(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
        (['?', p @ ..], [_, t @ ..]) => naive(p, t),
        ([a, p @ ..], [b, t @ ..]) => a == b && naive(p, t),
        _ => false,
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just(json!("*")),
        Just(json!("Allow")),
        Just(json!("kms:*")),
        Just(json!(GROUP)),
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        "[a-z:*]{0,8}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("Statement"),
        Just("Effect"),
        Just("Principal"),
        Just("Action"),
        Just("Resource"),
        Just("Condition"),
        Just("AWS"),
        Just("Service"),
        Just("ArnLike"),
        Just(CONTEXT),
        Just("NotAction"),
    ];
    word.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn wildcards_match_as_in_a_naive_implementation(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(glob::glob_matches(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _read = KeyPolicy::parse(&text);
    }

    #[test]
    fn no_document_allows_what_a_blanket_deny_forbids(document in json_value()) {
        let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*" });
        let text = json!({ "Statement": [document, deny] }).to_string();
        if let Ok(policy) = KeyPolicy::parse(&text) {
            let evaluated = policy.evaluate(&KEY.parse().unwrap(), &group());
            prop_assert!(matches!(evaluated, PolicyEvaluation::Denied { .. }), "{:?}", evaluated);
        }
    }

    #[test]
    fn a_pattern_matches_the_names_with_its_prefix(prefix in "/[a-z]{1,6}", name in "/[a-z]{1,6}") {
        let pattern = format!("arn:aws:logs:eu-west-1:111122223333:log-group:{prefix}*");
        let target = resource(Target::LogGroup(name.parse().unwrap()));
        let evaluated = evaluate(&with_condition("ArnLike", CONTEXT, pattern), &target);
        prop_assert_eq!(evaluated == PolicyEvaluation::Allows, name.starts_with(&prefix));
    }
}
