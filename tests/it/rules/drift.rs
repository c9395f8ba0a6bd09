//! Drift: log groups that lose the key of a rule, and the events by which AWS reports it.

use logkey::proto::{EncryptionRule, FindingKind, RuleMode};

use super::*;

/// Evaluates the rule, and waits for its job if there is one.
async fn evaluate(service: &Service, rules: &RuleCaller, id: &str) -> bool {
    let Some(job) = rules.evaluate(id, None).await.unwrap().bulk_association else { return false };
    JobCaller::new(service, "payments", BULK).wait_for_end(&job.id).await;
    true
}

#[tokio::test]
async fn a_group_that_flips_back_is_left_alone_after_three_repairs() {
    let service = Plan::with_resources(|it| groups(it, "a", 1)).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*"], &key("good"))).await.unwrap();
    let compliant = |rule: &EncryptionRule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 1);
    rules.wait(&created.id, compliant).await;
    let other = service.caller("payments", BULK);
    for repair in 1..=3 {
        if repair == 2 {
            other.associate("/payments/a-000", &key("next")).await.unwrap();
        } else {
            other.disassociate("/payments/a-000").await.unwrap();
        }
        assert!(evaluate(&service, &rules, &created.id).await, "repair {repair}");
        assert_eq!(key_of(&service, "/payments/a-000"), Some(key("good")), "repair {repair}");
    }
    other.disassociate("/payments/a-000").await.unwrap();
    assert!(!evaluate(&service, &rules, &created.id).await, "it is left alone");
    assert_eq!(key_of(&service, "/payments/a-000"), None);
    assert_eq!(evaluation(&rules.get(&created.id).await.unwrap()).findings, 1);
    let mut coverage = CoverageServiceClient::new(other.channel());
    let of_rule = ListCoverageFindingsRequest { rule_id: created.id, ..Default::default() };
    let page = coverage.list_coverage_findings(other.request(of_rule)).await.unwrap().into_inner();
    let [finding] = <[_; 1]>::try_from(page.findings).unwrap();
    assert_eq!(finding.kind(), FindingKind::Flapping);
    assert!(finding.message.contains("again after 3 repairs within 24 hours"), "{finding:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_new_group_gets_its_key_from_an_event() {
    let queue = logkey::sandbox::seed::QueueSeed {
        name: "events".into(),
        region: REGION.into(),
        visibility_timeout: Some(30),
        dead_letter_queue: None,
        max_receive_count: None,
    };
    let plan = Plan::with_resources(|it| groups(it, "a", 1)).aws(|aws| {
        aws.account("999999999999", |account| account.queue(queue))
            .event_queue(&format!("arn:aws:sqs:{REGION}:999999999999:events"))
    });
    let url = format!("https://sqs.{REGION}.amazonaws.com/999999999999/events");
    let service = plan.settings(&format!("[fleet.events]\nqueue_url = \"{url}\"\n")).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/new-*"], &key("good"))).await.unwrap();
    rules.wait_for_evaluation(&created.id).await;
    let caller = service.caller("payments", BULK);
    let logs = crate::event_queue::logs(&service.sandbox);
    for name in ["/payments/new-1", "/payments/old-1"] {
        logs.create_log_group().log_group_name(name).send().await.unwrap();
    }
    let has_key = async {
        while key_of(&service, "/payments/new-1").is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), has_key).await.unwrap();
    assert_eq!(key_of(&service, "/payments/new-1"), Some(key("good")));
    assert_eq!(key_of(&service, "/payments/old-1"), None, "no rule selects it");
    caller.associate("/payments/new-1", &key("next")).await.unwrap();
    let is_repaired = async {
        while key_of(&service, "/payments/new-1") != Some(key("good")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), is_repaired).await.unwrap();
    service.stop().await;
}
