//! What the tenant or its organization can repair.

use logkey::sandbox::fault::{Effect, Fault};
use serde_json::json;

use super::*;

fn denied(fault: &str) -> Effect {
    let code = "AccessDenied".to_owned();
    let message = format!(
        "User: arn:aws:sts::999999999999:assumed-role/LogKeyHub/x is not authorized to perform: sts:AssumeRole \
         on resource: arn:aws:iam::{PAYMENTS}:role/LogKeyAssociator {fault}"
    );
    Effect::Error { code, message: Some(message), status: Some(403) }
}

#[tokio::test]
async fn a_denial_of_the_role_names_the_owner_of_the_policy() {
    for (wording, expected, cause) in [
        ("", "ROLE_NOT_ASSUMABLE", "ASSUME_ROLE_DENIED"),
        (
            "because no role trust policy allows the sts:AssumeRole action",
            "ROLE_NOT_ASSUMABLE",
            "TRUST_POLICY_LACKS_SERVICE",
        ),
        (
            "with an explicit deny in a resource control policy",
            "DENIED_BY_ORGANIZATION",
            "RESOURCE_CONTROL_POLICY",
        ),
        (
            "with an explicit deny in a service control policy",
            "SERVICE_MISCONFIGURED",
            "ASSUME_ROLE_DENIED_BY_ORGANIZATION",
        ),
        (
            "because no VPC endpoint policy allows the sts:AssumeRole action",
            "SERVICE_MISCONFIGURED",
            "VPC_ENDPOINT_POLICY",
        ),
        (
            "because no permissions boundary allows the sts:AssumeRole action",
            "SERVICE_MISCONFIGURED",
            "ASSUME_ROLE_NOT_ALLOWED",
        ),
    ] {
        let service = start(aws_with(role()), "").await;
        service.sandbox.sandbox().fault(Fault::on("AssumeRole", denied(wording)));
        let answers = answers(&service).await;
        answers.assert_all(expected, cause);
        assert!(expected != "SERVICE_MISCONFIGURED" || !answers.texts().contains("LogKeyHub"));
        service.stop().await;
    }
}

#[tokio::test]
async fn a_session_longer_than_the_role_allows_says_how_long_it_must_be() {
    let aws = aws_with(role()).service_principal("arn:aws:iam::999999999999:user/logkey", "AKIASANDBOXHUB");
    let service = start(aws, "session_duration = \"2h\"\n").await;
    install(
        &service,
        RoleSeed { trusted: Some(vec!["arn:aws:iam::999999999999:user/logkey".into()]), ..role() },
    );
    let answers = answers(&service).await;
    answers.assert_all("ROLE_SESSION_TOO_LONG", "MAX_SESSION_DURATION");
    assert!(answers.change.message().contains("7200"), "{:?}", answers.change);
    service.stop().await;
}

#[tokio::test]
async fn a_permissions_boundary_is_named_and_the_statement_belongs_into_it() {
    let boundary = json!({ "Statement": [
        { "Effect": "Allow", "Action": ["logs:Describe*", "kms:*", "iam:*"], "Resource": "*" },
    ] });
    let service =
        start(aws_with(RoleSeed { permissions_boundary: Some(text(&boundary)), ..role() }), "").await;
    let status = service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&status), "ROLE_LACKS_LOGS_PERMISSION");
    assert_eq!(metadata(&status, "cause"), "PERMISSIONS_BOUNDARY");
    assert!(status.message().contains("permissions boundary"), "{status:?}");
    assert!(metadata(&status, "remedy_document").contains("logs:AssociateKmsKey"), "{status:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_region_that_is_not_enabled_is_named_by_every_operation() {
    let aws = Sandbox::builder()
        .without_quotas()
        .account(PAYMENTS, |it| it.region("us-east-1").role_with(role()))
        .account(ORDERS, |it| it.region(REGION));
    let service = start(aws, "").await;
    let answers = answers(&service).await;
    answers.assert_all("REGION_NOT_ENABLED", "");
    for text in [answers.change.message(), &answers.check.detail, &answers.access.detail] {
        assert!(text.contains("enabled"), "{text}");
    }
    assert!(!answers.texts().contains("DescribeLogGroups"), "{}", answers.texts());
    service.stop().await;
}

#[tokio::test]
async fn an_account_that_is_not_subscribed_is_the_tenants_matter() {
    let service = start(aws_with(role()), "").await;
    let message = Some("The AWS Access Key Id needs a subscription for the service".to_owned());
    let effect = Effect::Error { code: "OptInRequired".to_owned(), message, status: Some(403) };
    let logs = Fault { service: Some("logs".to_owned()), effect, ..Fault::default() };
    service.sandbox.sandbox().fault(logs);
    answers(&service).await.assert_all("ACCOUNT_NOT_SUBSCRIBED", "");
    service.stop().await;
}
