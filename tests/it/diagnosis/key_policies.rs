//! Key policies as people have them: the check says what the embedded AWS does, and its statement repairs it.

use logkey::proto::{AssociateKmsKeyRequest, Outcome, Verdict};
use serde_json::{Value, json};
use tonic_types::StatusExt as _;

use super::{check, install, key_with};
use crate::harness::{ALL, GROUP, PAYMENTS, REGION, Service, key, on_group, reason};

/// The statement that the S3 console writes into a key's policy.
fn of_s3() -> Value {
    json!({
        "Sid": "Allow access through S3 for all principals in the account that are authorized to use S3",
        "Effect": "Allow",
        "Principal": { "AWS": "*" },
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": { "StringEquals": {
            "kms:CallerAccount": PAYMENTS, "kms:ViaService": format!("s3.{REGION}.amazonaws.com")
        } },
    })
}

fn for_logs(actions: &[&str], condition: &Value) -> Value {
    json!({
        "Effect": "Allow",
        "Principal": { "Service": format!("logs.{REGION}.amazonaws.com") },
        "Action": actions,
        "Resource": "*",
        "Condition": condition,
    })
}

fn on_the_group() -> Value {
    let arn = format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:{GROUP}");
    json!({ "ArnEquals": { "kms:EncryptionContext:aws:logs:arn": arn } })
}

const USE: [&str; 4] = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"];

#[tokio::test]
async fn a_statement_for_another_service_does_not_allow_cloudwatch_logs() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    install(&service, |account| account.key_with(key_with("bucket", &[of_s3()])));
    let answer = check(&caller, &key("bucket")).await;
    assert_eq!(answer.verdict(), Verdict::WouldFail, "{answer:#?}");
    let failed = answer.checks.iter().find(|check| check.outcome() == Outcome::Failed).unwrap();
    assert_eq!(failed.name, "KEY_POLICY");
    let dry_run = AssociateKmsKeyRequest { validate_only: true, ..on_group(GROUP, &key("bucket")) };
    for request in [dry_run, on_group(GROUP, &key("bucket"))] {
        let status = caller.send(request).await.unwrap_err();
        assert_eq!(reason(&status), "KEY_POLICY_LACKS_LOGS_SERVICE");
    }
    let offered: Value = serde_json::from_str(&failed.remedy_document).unwrap();
    install(&service, |account| account.key_with(key_with("bucket", &[of_s3(), offered])));
    assert_eq!(check(&caller, &key("bucket")).await.verdict(), Verdict::Ok);
    caller.associate(GROUP, &key("bucket")).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn describe_key_may_be_missing_or_under_a_condition() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let describe_elsewhere = json!({ "StringEquals": { "kms:ViaService": "s3.eu-west-1.amazonaws.com" } });
    for (id, statements) in [
        ("bare", vec![for_logs(&USE, &on_the_group())]),
        ("apart", vec![for_logs(&USE, &on_the_group()), for_logs(&["kms:DescribeKey"], &describe_elsewhere)]),
    ] {
        install(&service, |account| account.key_with(key_with(id, &statements)));
        let answer = check(&caller, &key(id)).await;
        assert_eq!(answer.verdict(), Verdict::Ok, "{id}: {answer:#?}");
        caller.associate(GROUP, &key(id)).await.unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn a_deny_for_calls_that_are_not_through_a_service_spares_cloudwatch_logs() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let deny = json!({
        "Sid": "OnlyThroughServices", "Effect": "Deny", "Principal": "*", "Action": USE, "Resource": "*",
        "Condition": { "Bool": { "aws:ViaAWSService": "false", "aws:PrincipalIsAWSService": "false" } },
    });
    let statements = [for_logs(&USE, &on_the_group()), deny];
    install(&service, |account| account.key_with(key_with("guarded", &statements)));
    assert_eq!(check(&caller, &key("guarded")).await.verdict(), Verdict::Ok);
    caller.associate(GROUP, &key("guarded")).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn advice_against_a_deny_offers_no_statement() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let deny = json!({
        "Sid": "OnlyFromTheOrganization", "Effect": "Deny", "Principal": "*", "Action": USE, "Resource": "*",
        "Condition": { "StringNotEquals": { "aws:PrincipalOrgID": "o-1" }, "Bool": { "aws:PrincipalIsAWSService": "true" } },
    });
    let statements = [for_logs(&USE, &on_the_group()), deny];
    install(&service, |account| account.key_with(key_with("perimeter", &statements)));
    let answer = check(&caller, &key("perimeter")).await;
    assert_eq!(answer.verdict(), Verdict::WouldFail);
    let failed = answer.checks.iter().find(|check| check.outcome() == Outcome::Failed).unwrap();
    assert!(failed.detail.contains("OnlyFromTheOrganization") && failed.remedy.contains("exclude"));
    assert_eq!(failed.remedy_document, "");
    let status = caller.associate(GROUP, &key("perimeter")).await.unwrap_err();
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata.get("remedy_document"), None, "{status:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_statement_for_the_role_may_require_the_groups_encryption_context() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let policy = |group: &str| {
        let arn = format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:{group}");
        json!({ "Version": "2012-10-17", "Statement": [
            {
                "Sid": "Administer", "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{PAYMENTS}:root") },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*"], "Resource": "*",
            },
            for_logs(&USE, &on_the_group()),
            {
                "Sid": "Role", "Effect": "Allow",
                "Principal": { "AWS": format!("arn:aws:iam::{PAYMENTS}:role/LogKeyAssociator") },
                "Action": "kms:*", "Resource": "*",
                "Condition": { "StringEquals": { "kms:EncryptionContext:aws:logs:arn": arn } },
            },
        ] })
    };
    for (id, group, verdict) in [("ours", GROUP, Verdict::Ok), ("theirs", "/other", Verdict::WouldFail)] {
        let mut seed = key_with(id, &[]);
        seed.policy = Some(logkey::sandbox::seed::PolicyText::Document(policy(group)));
        install(&service, |account| account.key_with(seed));
        let answer = check(&caller, &key(id)).await;
        assert_eq!(answer.verdict(), verdict, "{id}: {answer:#?}");
        assert_eq!(caller.associate(GROUP, &key(id)).await.is_ok(), verdict == Verdict::Ok, "{id}");
    }
    service.stop().await;
}
