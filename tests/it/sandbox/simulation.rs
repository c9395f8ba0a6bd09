//! What a role's policies let it do, as the simulator tells it.

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
async fn a_role_is_held_against_its_own_policy_with_what_is_said_of_the_call() {
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
        .map(|one| (one.eval_resource_name().to_owned(), one.eval_resource_decision().clone()))
        .collect();
    assert_eq!(each, [(key("good"), Decision::Allowed), (key("other"), Decision::ImplicitDeny)]);
    assert_eq!(encrypt.eval_decision(), &Decision::ImplicitDeny, "the worst of the two");
    assert_eq!(decrypt.eval_decision(), &Decision::ExplicitDeny);
    let answer = send.send().await.unwrap();
    let [encrypt, _] = answer.evaluation_results() else { panic!("{answer:?}") };
    assert_eq!(encrypt.missing_context_values(), ["kms:ViaService"]);
    assert_eq!(encrypt.eval_decision(), &Decision::ImplicitDeny);
}

#[tokio::test]
async fn the_organization_has_its_say_and_is_told_apart() {
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
        .map(|one| one.organizations_decision_detail().unwrap().allowed_by_organizations())
        .collect();
    assert_eq!(by_organization, [false, true]);
    assert_eq!(answer.evaluation_results()[1].eval_decision(), &Decision::Allowed);
}

#[tokio::test]
async fn who_may_not_simulate_is_told_so_and_nothing_else() {
    let running = with(json!([{ "Effect": "Allow", "Action": "logs:*", "Resource": "*" }]), &[]).await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let send = iam.simulate_principal_policy().policy_source_arn(ROLE).action_names("kms:Encrypt");
    let (code, message) = result_text(send.send().await);
    assert_eq!(code, "AccessDenied");
    assert!(message.contains("iam:SimulatePrincipalPolicy") && message.contains(ROLE), "{message}");
}

#[tokio::test]
async fn roles_that_are_not_there_and_questions_without_actions_are_refused() {
    let running = with(json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]), &[]).await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let of = |role: &str| iam.simulate_principal_policy().policy_source_arn(role);
    let none = "arn:aws:iam::111122223333:role/None";
    assert_eq!(result_text(of(none).action_names("kms:Encrypt").send().await).0, "NoSuchEntity");
    assert_eq!(result_text(of(ROLE).send().await).0, "ValidationError");
    assert_eq!(result_text(of(ROLE).action_names("Encrypt").send().await).0, "InvalidInput");
    let policy = of(ROLE).action_names("kms:Encrypt").resource_policy("{}");
    assert_eq!(result_text(policy.send().await).0, "InvalidInput");
}

#[tokio::test]
async fn results_come_by_page() {
    let running = with(json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" }]), &[]).await;
    let iam = client!(aws_sdk_iam, running, session(&running).await);
    let actions = ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"].map(str::to_owned);
    let send = iam.simulate_principal_policy().policy_source_arn(ROLE).set_action_names(Some(actions.into()));
    let pages =
        send.max_items(2).into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    let names: Vec<&str> = pages.iter().map(aws_sdk_iam::types::EvaluationResult::eval_action_name).collect();
    assert_eq!(names, ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"]);
}
