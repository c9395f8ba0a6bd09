use super::{
    evaluation::{EvalPrincipal, EvalRequest, Policy, Verdict},
    shorthand,
};

const GROUP: &str = "arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api";
const SESSION: EvalPrincipal<'_> = EvalPrincipal::Iam {
    account: "111122223333",
    arn: "arn:aws:sts::111122223333:assumed-role/R/s",
    role_arn: Some("arn:aws:iam::111122223333:role/R"),
};

fn verdict(policy: &str, principal: EvalPrincipal<'_>, context: &[(&str, &str)]) -> Verdict {
    let policy: Policy = policy.parse().unwrap();
    policy.verdict(&EvalRequest {
        principal,
        action: "kms:GenerateDataKeyWithoutPlaintext",
        resources: &["arn:aws:kms:eu-west-1:111122223333:key/k"],
        context,
    })
}

fn named(name: &str) -> String {
    shorthand::key_policy(name, "111122223333", "eu-west-1").unwrap().to_string()
}

#[test]
fn the_documented_statement_allows_the_service_for_its_log_groups_only() {
    let logs = EvalPrincipal::Service("logs.eu-west-1.amazonaws.com");
    let key = "kms:EncryptionContext:aws:logs:arn";
    let policy = named("allow-logs");
    assert_eq!(verdict(&policy, logs, &[(key, GROUP)]), Verdict::Allows);
    assert_eq!(verdict(&policy, logs, &[]), Verdict::NoMatch);
    let other = GROUP.replace("1111", "9999");
    assert_eq!(verdict(&policy, logs, &[(key, &other)]), Verdict::NoMatch);
    let other = EvalPrincipal::Service("logs.us-east-1.amazonaws.com");
    assert_eq!(verdict(&policy, other, &[(key, GROUP)]), Verdict::NoMatch);
    assert_eq!(verdict(&named("lacks-logs"), logs, &[(key, GROUP)]), Verdict::NoMatch);
}

#[test]
fn a_key_policy_for_log_groups_does_not_allow_query_results() {
    let logs = EvalPrincipal::Service("logs.eu-west-1.amazonaws.com");
    let results = "arn:aws:logs:eu-west-1:111122223333:query-result:*";
    let context = [("aws:SourceArn", results), ("aws:SourceAccount", "111122223333")];
    assert_eq!(verdict(&named("allow-query-results"), logs, &context), Verdict::Allows);
    assert_eq!(verdict(&named("allow-logs"), logs, &context), Verdict::NoMatch);
}

#[test]
fn naming_the_role_outranks_naming_its_account_and_a_deny_outranks_both() {
    let account = named("lacks-logs");
    assert_eq!(verdict(&account, SESSION, &[]), Verdict::AllowsAccount);
    let role = account.replace(":root", ":role/R");
    assert_eq!(verdict(&role, SESSION, &[]), Verdict::Allows);
    let other_account = account.replace("1111", "9999");
    assert_eq!(verdict(&other_account, SESSION, &[]), Verdict::NoMatch);
    let deny = r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Deny","NotAction":"kms:Describe*","Resource":"*"}]}"#;
    assert_eq!(verdict(deny, SESSION, &[]), Verdict::Denied);
}

#[test]
fn a_star_in_an_arn_does_not_match_a_colon() {
    let with = |condition: &str| {
        format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{condition}}}}}"#
        )
    };
    let context = [("aws:SourceArn", GROUP)];
    for (condition, expected) in [
        (
            r#"{"ArnLike":{"aws:SourceArn":"arn:aws:logs:*:111122223333:log-group:/payments/*"}}"#,
            Verdict::Allows,
        ),
        (r#"{"ArnLike":{"aws:SourceArn":"arn:aws:logs:*:/payments/api"}}"#, Verdict::NoMatch),
        (r#"{"StringLike":{"aws:SourceArn":"arn:aws:logs:*:/payments/api"}}"#, Verdict::Allows),
        (r#"{"StringEquals":{"aws:SourceArn":"arn:aws:logs:*"}}"#, Verdict::NoMatch),
        (r#"{"StringNotEquals":{"aws:absent":"x"}}"#, Verdict::Allows),
        (r#"{"StringEquals":{"aws:absent":"x"}}"#, Verdict::NoMatch),
        (r#"{"StringEqualsIfExists":{"aws:absent":"x"}}"#, Verdict::Allows),
        (r#"{"ForAllValues:StringEquals":{"aws:absent":"x"}}"#, Verdict::Allows),
        (r#"{"ForAnyValue:StringNotEquals":{"aws:absent":"x"}}"#, Verdict::NoMatch),
        (r#"{"Null":{"aws:SourceArn":"false"}}"#, Verdict::Allows),
        (r#"{"Null":{"aws:SourceArn":true}}"#, Verdict::NoMatch),
    ] {
        assert_eq!(verdict(&with(condition), SESSION, &context), expected, "{condition}");
    }
}

#[test]
fn an_unsupported_policy_element_is_rejected_when_parsed() {
    for text in [
        "{}",
        r#"{"Statement":{"Effect":"Allow"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"a":"b"}}}}"#,
        r#"{"Statement":{"Effect":"Maybe","Action":"*","Resource":"*"}}"#,
    ] {
        assert!(text.parse::<Policy>().is_err(), "{text}");
    }
}
