//! Drift: log groups that lose the key of a rule, and the events by which AWS reports it.

use logkey::{
    proto::{BulkAssociation, EncryptionRule, FindingKind, KeyFilter, ListKeyAssociationsRequest, RuleMode},
    sandbox::fault::{Effect, Fault},
};

use super::*;
use crate::event_queue::TestQueue;

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
async fn a_group_that_is_created_again_is_a_new_one_and_gets_its_key() {
    let service = Plan::with_resources(|it| groups(it, "a", 1)).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/ci-*"], &key("good"))).await.unwrap();
    rules.wait_for_evaluation(&created.id).await;
    let logs = crate::event_queue::logs(&service.sandbox);
    for round in 1..=6 {
        logs.create_log_group().log_group_name("/payments/ci-1").send().await.unwrap();
        assert!(evaluate(&service, &rules, &created.id).await, "round {round}");
        assert_eq!(key_of(&service, "/payments/ci-1"), Some(key("good")), "round {round}");
        logs.delete_log_group().log_group_name("/payments/ci-1").send().await.unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn an_evaluation_continues_what_a_failure_limit_stopped() {
    let service = Plan::with_resources(|it| groups(it, "a", 40)).start().await;
    let denied = "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/x is not authorized to perform: logs:AssociateKmsKey with an explicit deny in a service control policy";
    let effect =
        Effect::Error { code: "AccessDeniedException".into(), message: Some(denied.into()), status: None };
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", effect));
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*"], &key("good"))).await.unwrap();
    let evaluated = rules
        .wait(&created.id, |rule| {
            rule.last_evaluation.as_ref().is_some_and(|it| !it.bulk_association_id.is_empty())
        })
        .await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let id = evaluation(&evaluated).bulk_association_id;
    let is_quiet = |job: &BulkAssociation| job.counts.is_some_and(|counts| counts.running == 0);
    let paused = jobs.wait(&id, |job| job.state() == BulkState::Paused && is_quiet(job)).await;
    let counts = paused.counts.unwrap();
    assert!(counts.failed > 20 && counts.waiting > 0, "{counts:?}");

    service.sandbox.sandbox().clear_faults();
    assert!(evaluate(&service, &rules, &created.id).await);
    assert_eq!(jobs.get(&id).await.unwrap().state(), BulkState::Cancelled, "the new job replaces it");
    let keys = (0..40).filter(|n| key_of(&service, &format!("/payments/a-{n:03}")) == Some(key("good")));
    assert_eq!(keys.count(), 40);
    service.stop().await;
}

/// A service that reads the events of AWS from a queue.
async fn with_events(count: usize, faults: &[Fault]) -> Service {
    let queue = logkey::sandbox::seed::QueueSeed {
        name: "events".into(),
        region: REGION.into(),
        visibility_timeout: Some(30),
        dead_letter_queue: None,
        max_receive_count: None,
    };
    let plan = Plan::with_resources(|it| groups(it, "a", count)).aws(|aws| {
        let aws = aws
            .account("999999999999", |account| account.queue(queue))
            .event_queue(&format!("arn:aws:sqs:{REGION}:999999999999:events"));
        faults.iter().fold(aws, |aws, fault| aws.fault(fault.clone()))
    });
    let url = format!("https://sqs.{REGION}.amazonaws.com/999999999999/events");
    plan.settings(&format!("[fleet.events]\nqueue_url = \"{url}\"\n")).start().await
}

/// Waits until the embedded AWS is as expected.
async fn until(what: &str, expected: impl AsyncFn() -> bool) {
    let waiting = async {
        while !expected().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let reached = tokio::time::timeout(std::time::Duration::from_mins(1), waiting).await;
    assert!(reached.is_ok(), "in a minute: {what}");
}

#[tokio::test]
async fn the_events_of_a_rules_own_changes_cost_no_read() {
    let effect = Effect::Error { code: "ServiceUnavailable".into(), message: None, status: Some(503) };
    let service = with_events(12, &[Fault::on("ReceiveMessage", effect)]).await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*"], &key("good"))).await.unwrap();
    let compliant =
        |rule: &EncryptionRule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 12);
    rules.wait(&created.id, compliant).await;
    let queue = TestQueue::connect(&service.sandbox.endpoint(), "999999999999").await;
    assert_eq!(queue.remaining().await, 12, "AWS has reported each change");
    let reads = service.reached("DescribeLogGroups").len();
    service.sandbox.sandbox().clear_faults();
    until("the queue is empty", async || queue.remaining().await == 0).await;
    assert_eq!(service.reached("DescribeLogGroups").len(), reads);

    let admin = crate::event_queue::logs(&service.sandbox);
    admin.disassociate_kms_key().log_group_name("/payments/a-007").send().await.unwrap();
    let changes = service.reached("AssociateKmsKey").len();
    until("the change of another principal is repaired", async || {
        service.reached("AssociateKmsKey").len() > changes
            && key_of(&service, "/payments/a-007") == Some(key("good"))
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_change_by_somebody_else_during_a_job_is_repaired_after_it() {
    let role = Some("LogKeyAssociator".into());
    let throttle = Fault { role, ..Fault::on("AssociateKmsKey", Effect::Throttle) };
    let service = with_events(3, &[throttle]).await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*"], &key("good"))).await.unwrap();
    let evaluated = rules
        .wait(&created.id, |rule| {
            rule.last_evaluation.as_ref().is_some_and(|it| !it.bulk_association_id.is_empty())
        })
        .await;
    let id = evaluation(&evaluated).bulk_association_id;
    let jobs = JobCaller::new(&service, "payments", BULK);
    jobs.pause(&id).await.unwrap();
    let admin = crate::event_queue::logs(&service.sandbox);
    let change = admin.associate_kms_key().log_group_name("/payments/a-002").kms_key_id(key("next"));
    change.send().await.unwrap();
    let queue = TestQueue::connect(&service.sandbox.endpoint(), "999999999999").await;
    until("the event is handled", async || queue.remaining().await == 0).await;

    service.sandbox.sandbox().clear_faults();
    jobs.resume(&id).await.unwrap();
    assert_eq!(jobs.wait_for_end(&id).await.counts.unwrap().skipped, 1, "the job does only what it planned");
    until("it is repaired", async || key_of(&service, "/payments/a-002") == Some(key("good"))).await;
    service.stop().await;
}

#[tokio::test]
async fn a_new_key_of_a_rule_follows_the_job_that_sets_the_old_one() {
    let service = Plan::with_resources(|it| groups(it, "a", 3)).start().await;
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", Effect::Throttle));
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*"], &key("good"))).await.unwrap();
    rules
        .wait(&created.id, |rule| {
            rule.last_evaluation.as_ref().is_some_and(|it| !it.bulk_association_id.is_empty())
        })
        .await;
    let next = EncryptionRule { id: created.id.clone(), ..rule(RuleMode::Enforce, &[], &key("next")) };
    rules.update(next, &["key"]).await.unwrap();
    assert_eq!(rules.evaluate(&created.id, None).await.unwrap().bulk_association, None);
    service.sandbox.sandbox().clear_faults();
    until("every group has the new key", async || {
        (0..3).all(|n| key_of(&service, &format!("/payments/a-{n:03}")) == Some(key("next")))
    })
    .await;
    service.stop().await;
}

/// An enforced rule for `/payments/new-*`, after its first evaluation.
async fn enforce_new_groups(service: &Service) -> EncryptionRule {
    let rules = RuleCaller::new(service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/new-*"], &key("good"))).await.unwrap();
    rules.wait_for_evaluation(&created.id).await;
    created
}

#[tokio::test]
async fn a_finding_says_why_the_change_after_an_event_failed() {
    let denied = "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/x is not authorized to perform: logs:AssociateKmsKey with an explicit deny in a service control policy";
    let effect =
        Effect::Error { code: "AccessDeniedException".into(), message: Some(denied.into()), status: None };
    let service = with_events(1, &[Fault::on("AssociateKmsKey", effect)]).await;
    let created = enforce_new_groups(&service).await;
    let logs = crate::event_queue::logs(&service.sandbox);
    logs.create_log_group().log_group_name("/payments/new-1").send().await.unwrap();
    let caller = service.caller("payments", BULK);
    until("the finding has the cause, the remedy and the job", async || {
        let mut coverage = CoverageServiceClient::new(caller.channel());
        let of_rule = ListCoverageFindingsRequest { rule_id: created.id.clone(), ..Default::default() };
        let page = coverage.list_coverage_findings(caller.request(of_rule)).await.unwrap().into_inner();
        page.findings.iter().any(|it| {
            it.reason == "DENIED_BY_ORGANIZATION"
                && it.remedy.contains("service control policy")
                && !it.bulk_association_id.is_empty()
        })
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_burst_of_new_groups_leaves_no_group_without_its_key_and_no_finding() {
    let service = with_events(1, &[]).await;
    let created = enforce_new_groups(&service).await;
    let logs = crate::event_queue::logs(&service.sandbox);
    let names: Vec<String> = (0..50).map(|n| format!("/payments/new-{n}")).collect();
    let creations = names.iter().map(|name| logs.create_log_group().log_group_name(name).send());
    futures_util::future::try_join_all(creations).await.unwrap();
    until("every group has its key", async || {
        names.iter().all(|name| key_of(&service, name) == Some(key("good")))
    })
    .await;
    let caller = service.caller("payments", BULK);
    until("no finding is left", async || {
        let mut coverage = CoverageServiceClient::new(caller.channel());
        let of_rule = ListCoverageFindingsRequest { rule_id: created.id.clone(), ..Default::default() };
        let page = coverage.list_coverage_findings(caller.request(of_rule)).await.unwrap().into_inner();
        page.findings.is_empty()
    })
    .await;
    let others = ListKeyAssociationsRequest {
        log_group_name_prefix: "/payments/new-".into(),
        key_filter: KeyFilter::WithOtherKey.into(),
        expected_kms_key_id: key("good"),
        page_size: 500,
        ..Default::default()
    };
    let listed = caller.keys().list_key_associations(caller.request(others)).await.unwrap().into_inner();
    assert_eq!((listed.associations, listed.next_page_token), (Vec::new(), String::new()));
    service.stop().await;
}

#[tokio::test]
async fn a_new_group_gets_its_key_from_an_event() {
    let service = with_events(1, &[]).await;
    enforce_new_groups(&service).await;
    let caller = service.caller("payments", BULK);
    let logs = crate::event_queue::logs(&service.sandbox);
    for name in ["/payments/new-1", "/payments/old-1"] {
        logs.create_log_group().log_group_name(name).send().await.unwrap();
    }
    until("the new group has a key", async || key_of(&service, "/payments/new-1").is_some()).await;
    assert_eq!(key_of(&service, "/payments/new-1"), Some(key("good")));
    assert_eq!(key_of(&service, "/payments/old-1"), None, "no rule selects it");
    caller.associate("/payments/new-1", &key("next")).await.unwrap();
    until("it is repaired", async || key_of(&service, "/payments/new-1") == Some(key("good"))).await;
    service.stop().await;
}
