//! `SimulatePrincipalPolicy`: what a role's policies allow.

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType as Decision};
use logkey::sandbox::{
    Sandbox,
    seed::{PolicyText, RoleSeed},
};
use serde_json::{Value, json};

use super::*;

async fn with(statements: Value, denied: &[&str]) -> Running {
    let role = RoleSeed {
        name: "Associator".to_owned(),
        external_id: Some(EXTERNAL_ID.to_owned()),
        policy: Some(PolicyText::Document(json!({ "Statement": statements }))),
        denied_by_organization: denied.iter().map(ToString::to_string).collect(),
        ..RoleSeed::default()
    };
    let sandbox = Sandbox::builder().account(ACCOUNT, |account| account.region(REGION).role_with(role));
    sandbox.build().unwrap().start().await.unwrap()
}

fn simulate() -> Value {
    json!({ "Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": ROLE })
}

fn condition_entry(key: &str, value: &str) -> ContextEntry {
    let entry = ContextEntry::builder().context_key_name(key).context_key_values(value);
    entry.context_key_type(ContextKeyTypeEnum::String).build()
}

#[tokio::test]
async fn a_role_is_simulated_with_its_policy_and_the_given_context() {
    let through_logs = json!({ "StringEquals": { "kms:ViaService": "logs.eu-west-1.amazonaws.com" } });
    let running = with(
        json!([
            simulate(),
            { "Effect": "Allow", "Action": "kms:Encrypt", "Resource": key("good"), "Condition": through_logs },
            { "Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*" },
        ]),
        &[],
    )
    .await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let send = iam
        .simulate_principal_policy()
        .policy_source_arn(ROLE)
        .set_action_names(Some(["kms:Encrypt", "kms:Decrypt"].map(str::to_owned).into()))
        .set_resource_arns(Some(vec![key("good"), key("other")]));
    let with_context =
        send.clone().context_entries(condition_entry("kms:ViaService", "logs.eu-west-1.amazonaws.com"));
    let answer = with_context.send().await.unwrap();
    let [encrypt, decrypt] = answer.evaluation_results() else { panic!("{answer:?}") };
    assert_eq!((encrypt.eval_action_name(), decrypt.eval_action_name()), ("kms:Encrypt", "kms:Decrypt"));
    let each: Vec<_> = encrypt
        .resource_specific_results()
        .iter()
        .map(|result| (result.eval_resource_name().to_owned(), result.eval_resource_decision().clone()))
        .collect();
    assert_eq!(each, [(key("good"), Decision::Allowed), (key("other"), Decision::ImplicitDeny)]);
    assert_eq!(encrypt.eval_decision(), &Decision::ImplicitDeny, "the more severe of the two decisions");
    assert_eq!(decrypt.eval_decision(), &Decision::ExplicitDeny);
    let answer = send.send().await.unwrap();
    let [encrypt, _] = answer.evaluation_results() else { panic!("{answer:?}") };
    assert_eq!(encrypt.missing_context_values(), ["kms:ViaService"]);
    assert_eq!(encrypt.eval_decision(), &Decision::ImplicitDeny);
}

#[tokio::test]
async fn a_denial_by_the_organization_is_reported_separately() {
    let all = json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]);
    let running = with(all, &["logs:AssociateKmsKey"]).await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let send = iam.simulate_principal_policy().policy_source_arn(ROLE);
    let answer =
        send.action_names("logs:AssociateKmsKey").action_names("logs:DisassociateKmsKey").send().await;
    let answer = answer.unwrap();
    let by_organization: Vec<bool> = answer
        .evaluation_results()
        .iter()
        .map(|result| result.organizations_decision_detail().unwrap().allowed_by_organizations())
        .collect();
    assert_eq!(by_organization, [false, true]);
    assert_eq!(answer.evaluation_results()[1].eval_decision(), &Decision::Allowed);
}

#[tokio::test]
async fn a_caller_without_permission_to_simulate_gets_only_that_error() {
    let running = with(json!([{ "Effect": "Allow", "Action": "logs:*", "Resource": "*" }]), &[]).await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let send = iam.simulate_principal_policy().policy_source_arn(ROLE).action_names("kms:Encrypt");
    let (code, message) = error_text(send.send().await);
    assert_eq!(code, "AccessDenied");
    assert!(message.contains("iam:SimulatePrincipalPolicy") && message.contains(ROLE), "{message}");
}

#[tokio::test]
async fn missing_roles_and_requests_without_actions_are_refused() {
    let running = with(json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]), &[]).await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let of = |role: &str| iam.simulate_principal_policy().policy_source_arn(role);
    let none = "arn:aws:iam::111122223333:role/None";
    assert_eq!(error_text(of(none).action_names("kms:Encrypt").send().await).0, "NoSuchEntity");
    assert_eq!(error_text(of(ROLE).send().await).0, "ValidationError");
    assert_eq!(error_text(of(ROLE).action_names("Encrypt").send().await).0, "InvalidInput");
    let policy = of(ROLE).action_names("kms:Encrypt").resource_policy("{}");
    assert_eq!(error_text(policy.send().await).0, "InvalidInput");
}

#[tokio::test]
async fn results_are_paginated() {
    let running = with(json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]), &[]).await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let actions = ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"].map(str::to_owned);
    let send = iam.simulate_principal_policy().policy_source_arn(ROLE).set_action_names(Some(actions.into()));
    let pages =
        send.max_items(2).into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    let names: Vec<&str> = pages.iter().map(aws_sdk_iam::types::EvaluationResult::eval_action_name).collect();
    assert_eq!(names, ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"]);
}
