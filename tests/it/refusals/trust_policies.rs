//! A role whose trust policy does not let the service assume it: what every answer says and offers.

use serde_json::json;

use super::*;
use crate::client::Cli;

fn trust(actions: &[&str]) -> Value {
    json!({
        "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::999999999999:role/LogKeyHub" },
        "Action": actions,
    })
}

/// A role whose trust policy has these statements.
fn trusting(statements: &[Value]) -> RoleSeed {
    let trust_policy = Some(text(&json!({ "Version": "2012-10-17", "Statement": statements })));
    RoleSeed { external_id: None, trust_policy, ..role() }
}

/// The statement, or the statements, that all answers offer.
fn offered(answers: &Answers) -> Value {
    let of_change = metadata(&answers.change, "remedy_document");
    let of_read = metadata(&answers.read, "remedy_document");
    for other in [&of_read, &answers.check.remedy_document, &answers.access.remedy_document] {
        assert_eq!(other, &of_change);
    }
    serde_json::from_str(&of_change).unwrap()
}

#[tokio::test]
async fn the_statements_in_every_answer_make_the_role_assumable() {
    let mut other = trust(&["sts:AssumeRole"]);
    other["Principal"]["AWS"] = "arn:aws:iam::999999999999:role/Other".into();
    for (statement, cause) in
        [(other, "ASSUME_ROLE_DENIED"), (trust(&["sts:AssumeRole"]), "TRUST_POLICY_LACKS_TAG_SESSION")]
    {
        let service = start(aws_with(trusting(std::slice::from_ref(&statement))), "").await;
        let answers = answers(&service).await;
        answers.assert_all("ROLE_NOT_ASSUMABLE", cause);
        assert!(!answers.texts().contains("payments-external-id"), "{}", answers.texts());
        let offered = offered(&answers);
        let mut statements = offered.as_array().cloned().unwrap_or_else(|| vec![offered]);
        statements.push(statement);
        service.stop().await;
        // The external id is a secret of the operator and the tenant: they write it themselves.
        let repaired = json!(statements).to_string().replace("EXTERNAL_ID", "payments-external-id");
        let statements: Vec<Value> = serde_json::from_str(&repaired).unwrap();
        // Another service, because this one remembers the refusal for a while.
        let service = start(aws_with(trusting(&statements)), "").await;
        service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
        service.stop().await;
    }
}

#[tokio::test]
async fn the_commands_print_the_statement_to_paste() {
    let service = start(aws_with(trusting(&[trust(&["sts:AssumeRole"])])), "").await;
    let cli = Cli::new(&service, ALL);
    let checked = cli.run(&["check-key", GROUP, "--key", &key("good"), "--print-remedy"]).await;
    let statement: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((checked.code, &statement["Effect"]), (1, &"Allow".into()), "{statement}");
    assert_eq!(statement["Action"], json!(["sts:TagSession", "sts:SetSourceIdentity"]));
    let printed = checked.stdout.trim();
    let refused = cli.run(&["associate", GROUP, "--key", &key("good")]).await;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("The statement to add:\n{printed}\n")), "{}", refused.stderr);
    let tested = cli.run(&["access"]).await;
    assert_eq!(tested.code, 1, "{}", tested.stderr);
    assert!(tested.stdout.contains(printed), "{}", tested.stdout);
    service.stop().await;
}

#[tokio::test]
async fn a_trust_policy_without_tag_session_is_named_in_every_answer() {
    let service = start(aws_with(trusting(&[trust(&["sts:AssumeRole"])])), "").await;
    let answers = answers(&service).await;
    answers.assert_all("ROLE_NOT_ASSUMABLE", "TRUST_POLICY_LACKS_TAG_SESSION");
    for text in [answers.change.message(), &answers.check.remedy, &answers.access.remedy] {
        assert!(text.contains("sts:TagSession") && !text.contains("external id"), "{text}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_trust_policy_that_denies_is_not_answered_with_a_statement_to_add() {
    let mut deny = trust(&["sts:AssumeRole"]);
    deny["Effect"] = "Deny".into();
    let allow = trust(&["sts:AssumeRole", "sts:TagSession"]);
    let service = start(aws_with(trusting(&[allow, deny])), "").await;
    let answers = answers(&service).await;
    answers.assert_all("ROLE_NOT_ASSUMABLE", "TRUST_POLICY_DENIES");
    assert!(answers.change.message().contains("overrides every allow"), "{:?}", answers.change);
    assert_eq!(metadata(&answers.change, "remedy_document"), "");
    service.stop().await;
}
