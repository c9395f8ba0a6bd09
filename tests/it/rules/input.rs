//! What the service answers to calls for rules that cannot be made.

use logkey::proto::{CreateEncryptionRuleRequest, CurrentKey, KeyChoice, RuleExemption, Selection};
use tonic_types::StatusExt as _;

use super::*;

fn fields(status: &tonic::Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|it| it.field_violations).unwrap_or_default();
    violations.into_iter().map(|it| it.field).collect()
}

#[tokio::test]
async fn every_invalid_field_of_a_rule_is_reported() {
    let service = Service::start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let invalid = EncryptionRule {
        id: "mine".into(),
        display_name: "x".repeat(129),
        selection: Some(Selection { current_key: CurrentKey::WithKey.into(), ..Selection::default() }),
        state: RuleState::Paused.into(),
        exemptions: vec![RuleExemption { pattern: "a b".into(), ..RuleExemption::default() }],
        ..EncryptionRule::default()
    };
    let status = rules.create(invalid).await.unwrap_err();
    let mut invalid = fields(&status);
    invalid.sort_unstable();
    let expected = [
        "display_name",
        "exemptions[0].pattern",
        "exemptions[0].reason",
        "id",
        "key",
        "mode",
        "selection.current_key",
        "state",
    ];
    assert_eq!((status.code(), invalid), (Code::InvalidArgument, expected.map(String::from).to_vec()));
    let named = Selection {
        resource_arns: vec![format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:/payments/api")],
        ..Selection::default()
    };
    let named = EncryptionRule { selection: Some(named), ..rule(RuleMode::Report, &[], &key("good")) };
    assert_eq!(fields(&rules.create(named).await.unwrap_err()), ["selection.resource_arns"]);
    let elsewhere = Selection { account_ids: vec![ORDERS.into()], ..Selection::default() };
    let elsewhere =
        EncryptionRule { selection: Some(elsewhere), ..rule(RuleMode::Report, &[], &key("good")) };
    assert_eq!(reason(&rules.create(elsewhere).await.unwrap_err()), "ACCOUNT_NOT_FOUND");
    service.stop().await;
}

#[tokio::test]
async fn each_mode_needs_its_scopes() {
    let service = Service::start().await;
    let created = |scopes: &str, mode| {
        let rules = RuleCaller::new(&service, "payments", scopes);
        async move { rules.create(rule(mode, &["/payments/x-*"], &key("good"))).await }
    };
    assert_eq!(reason(&created("logkey:read", RuleMode::Report).await.unwrap_err()), "SCOPE_MISSING");
    let report = created("logkey:bulk", RuleMode::Report).await.unwrap();
    assert_eq!(reason(&created("logkey:bulk", RuleMode::Enforce).await.unwrap_err()), "SCOPE_MISSING");
    let bulk = RuleCaller::new(&service, "payments", "logkey:bulk");
    assert_eq!(reason(&bulk.get(&report.id).await.unwrap_err()), "SCOPE_MISSING");
    let enforcing = EncryptionRule { mode: RuleMode::Enforce.into(), ..report.clone() };
    assert_eq!(reason(&bulk.update(enforcing, &["mode"]).await.unwrap_err()), "SCOPE_MISSING");
    let results = RuleCaller::new(&service, "payments", "logkey:bulk logkey:associate");
    let selection = Selection { query_results: true, ..Selection::default() };
    let enforcing =
        EncryptionRule { selection: Some(selection), ..rule(RuleMode::Enforce, &[], &key("good")) };
    assert_eq!(reason(&results.create(enforcing).await.unwrap_err()), "SCOPE_MISSING");
    service.stop().await;
}

#[tokio::test]
async fn a_rule_is_updated_by_mask_and_etag_and_evaluated_again() {
    let service = Service::start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Report, &["/payments/*"], &key("good"))).await.unwrap();
    rules.wait_for_evaluation(&created.id).await;
    let renamed = EncryptionRule { display_name: "all".into(), priority: 9, ..created.clone() };
    let updated = rules.update(renamed.clone(), &["display_name"]).await.unwrap();
    assert_eq!((updated.display_name.as_str(), updated.priority), ("all", 0));
    let stale = rules.update(renamed, &["priority"]).await.unwrap_err();
    assert_eq!((stale.code(), reason(&stale)), (Code::Aborted, "ETAG_MISMATCH".into()));
    let plain = EncryptionRule { id: created.id.clone(), priority: 3, ..EncryptionRule::default() };
    let updated = rules.update(plain.clone(), &[]).await.unwrap();
    assert_eq!((updated.display_name.as_str(), updated.priority), ("all", 3), "only what is set changes");
    let reset = rules.update(plain.clone(), &["display_name", "max_changes"]).await.unwrap();
    assert_eq!((reset.display_name.as_str(), reset.max_changes), ("", Some(100)));
    assert_eq!(fields(&rules.update(plain.clone(), &["etag"]).await.unwrap_err()), ["update_mask"]);

    let key = KeyChoice { kms_key_id: "alias/none".into(), ..KeyChoice::default() };
    let moved = EncryptionRule { id: created.id.clone(), key: Some(key), ..EncryptionRule::default() };
    rules.update(moved, &["key"]).await.unwrap();
    let unresolved = |rule: &EncryptionRule| {
        rule.last_evaluation
            .as_ref()
            .is_some_and(|it| it.end_time.is_some() && it.to_change == 0 && it.findings > 0)
    };
    rules.wait(&created.id, unresolved).await;

    let disabled = EncryptionRule { state: RuleState::Disabled.into(), ..plain };
    let disabled = rules.update(disabled, &["state"]).await.unwrap();
    assert_eq!((disabled.state(), disabled.next_evaluation_time), (RuleState::Disabled, None));
    let refused = rules.evaluate(&created.id, None).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "RULE_STATE".into()));
    assert_eq!(reason(&rules.delete(&created.id, &created.etag).await.unwrap_err()), "ETAG_MISMATCH");
    rules.delete(&created.id, &disabled.etag).await.unwrap();
    assert_eq!(reason(&rules.get(&created.id).await.unwrap_err()), "ENCRYPTION_RULE_NOT_FOUND");
    let events = service.events().await;
    let recorded =
        |action: &str| events.iter().filter(|it| it.action == action && it.kind == "outcome").count();
    assert_eq!(recorded("CreateEncryptionRule"), 1);
    assert_eq!(recorded("UpdateEncryptionRule"), 5);
    assert_eq!(recorded("DeleteEncryptionRule"), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_repeated_request_creates_one_rule() {
    let service = Service::start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let request = |priority| CreateEncryptionRuleRequest {
        encryption_rule: Some(EncryptionRule {
            priority,
            ..rule(RuleMode::Report, &["/payments/*"], &key("good"))
        }),
        request_id: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
    };
    let first = rules.send(request(1)).await.unwrap();
    assert_eq!(rules.send(request(1)).await.unwrap().id, first.id);
    assert_eq!(reason(&rules.send(request(2)).await.unwrap_err()), "REQUEST_ID_REUSED");
    assert_eq!(rules.list("", 10).await.unwrap(), [first.id]);
    service.stop().await;
}
