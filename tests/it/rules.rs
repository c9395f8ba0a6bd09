//! Encryption rules, from a real client to the embedded AWS and back.

mod client;
mod drift;
mod input;
mod locations;

use logkey::proto::{
    BulkState, CoverageCounts, CoverageGrouping, EncryptionRule, GetCoverageRequest,
    ListCoverageFindingsRequest, RuleEvaluation, RuleMode, RuleOrigin, RuleState,
    coverage_service_client::CoverageServiceClient,
};
use tonic::Code;

use self::client::{RuleCaller, rule};
use crate::{
    bulk::{BULK, client::JobCaller, groups},
    harness::{ORDERS, PAYMENTS, Plan, REGION, Service, key, reason, tenant},
};

const GENEROUS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

/// A rule of the tenant `payments` in the configuration.
fn configured(id: &str, mode: &str, settings: &str) -> String {
    let declared = format!(
        "[[tenants.rules]]\nid = \"{id}\"\nkms_key = \"{}\"\nmode = \"{mode}\"\n{settings}",
        key("good")
    );
    tenant("payments", PAYMENTS, GENEROUS) + &declared + &tenant("orders", ORDERS, GENEROUS)
}

fn key_of(service: &Service, group: &str) -> Option<String> {
    service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, group)
}

fn evaluation(rule: &EncryptionRule) -> RuleEvaluation {
    rule.last_evaluation.clone().unwrap()
}

#[tokio::test]
async fn a_report_changes_nothing_and_counts_what_it_would_change() {
    let plan = Plan::with_resources(|it| groups(it, "a", 60)).settings("[audit]\nfindings = true\n");
    let service = plan.start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Report, &["/payments/a-*"], &key("good"))).await.unwrap();
    assert_eq!((created.state(), created.origin()), (RuleState::Active, RuleOrigin::Api));
    assert_eq!((&*created.tenant_id, created.max_changes), ("payments", Some(100)));
    let evaluated = rules.wait_for_evaluation(&created.id).await;
    let RuleEvaluation { groups, compliant, to_change, findings, bulk_association_id, .. } =
        evaluation(&evaluated);
    assert_eq!((groups, compliant, to_change, findings), (60, 0, 60, 60));
    assert_eq!(bulk_association_id, "");
    assert!(evaluated.next_evaluation_time.is_some());
    let now = rules.evaluate(&created.id, None).await.unwrap();
    assert_eq!(now.bulk_association, None);
    assert_eq!(service.reached("AssociateKmsKey").len(), 0);

    let caller = service.caller("payments", BULK);
    let mut coverage = CoverageServiceClient::new(caller.channel());
    let by_rule = GetCoverageRequest {
        group_by: CoverageGrouping::Account.into(),
        rule_id: created.id.clone(),
        ..GetCoverageRequest::default()
    };
    let report = coverage.get_coverage(caller.request(by_rule)).await.unwrap().into_inner();
    let total = report.total.unwrap();
    assert_eq!((total.total, total.no_key, total.compliant), (60, 60, 0));
    assert!(report.locations.iter().all(|it| it.known_as_of.is_some() && it.error.is_none()));
    let findings =
        ListCoverageFindingsRequest { rule_id: created.id.clone(), page_size: 500, ..Default::default() };
    let page = coverage.list_coverage_findings(caller.request(findings)).await.unwrap().into_inner();
    assert_eq!((page.findings.len(), page.next_page_token.as_str()), (60, ""));
    assert!(
        page.findings
            .iter()
            .all(|it| it.rule_id == created.id && it.start_time.is_some() && !it.remedy.is_empty())
    );
    let stored = service.events().await;
    let of_rule = |group: &Option<String>| group.as_deref().is_some_and(|it| it.starts_with("/payments/a-"));
    let recorded: Vec<_> =
        stored.iter().filter(|it| it.kind == "finding").map(|it| it.log_group.clone()).collect();
    assert_eq!(recorded.iter().filter(|it| of_rule(it)).count(), 60, "each finding is recorded once");
    service.stop().await;
}

#[tokio::test]
async fn an_enforcing_rule_sets_its_key_at_once_and_then_counts_it() {
    let service = Plan::with_resources(|it| groups(it, "a", 60)).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*"], &key("good"))).await.unwrap();
    let compliant =
        |rule: &EncryptionRule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 60);
    let done = rules.wait(&created.id, compliant).await;
    let RuleEvaluation { changed, to_change, findings, bulk_association_id, .. } = evaluation(&done);
    assert_eq!((changed, to_change, findings), (60, 60, 0));
    let job = JobCaller::new(&service, "payments", BULK).wait_for_end(&bulk_association_id).await;
    assert_eq!((job.state(), &job.rule_id), (BulkState::Succeeded, &created.id));
    assert_eq!(job.subject, created.subject);
    assert_eq!(key_of(&service, "/payments/a-059"), Some(key("good")));
    assert_eq!(key_of(&service, "/payments/api"), None, "it is not selected");
    let again = rules.evaluate(&created.id, None).await.unwrap();
    assert_eq!(again.bulk_association, None, "there is nothing left to change");
    assert_eq!(evaluation(&again.encryption_rule.unwrap()).compliant, 60);
    assert_eq!(service.reached("AssociateKmsKey").len(), 60);
    service.stop().await;
}

#[tokio::test]
async fn too_many_changes_pause_a_rule_until_a_higher_number_is_allowed() {
    let service = Plan::with_resources(|it| groups(it, "a", 8)).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let limited =
        EncryptionRule { max_changes: Some(5), ..rule(RuleMode::Enforce, &["/payments/a-*"], &key("good")) };
    let created = rules.create(limited).await.unwrap();
    let paused = rules.wait(&created.id, |rule| rule.state() == RuleState::Paused).await;
    assert!(
        paused.pause_reason.contains("8 changes") && paused.pause_reason.contains("allows 5"),
        "{paused:?}"
    );
    assert_ne!(paused.etag, created.etag);
    assert_eq!(
        (evaluation(&paused).to_change, evaluation(&paused).error.unwrap().reason),
        (8, "RULE_STATE".into())
    );
    assert_eq!(paused.next_evaluation_time, None);
    let still = rules.evaluate(&created.id, None).await.unwrap();
    assert_eq!(still.encryption_rule.unwrap().state(), RuleState::Paused);
    assert_eq!(service.reached("AssociateKmsKey").len(), 0);

    let evaluated = rules.evaluate(&created.id, Some(8)).await.unwrap();
    assert_eq!(evaluated.encryption_rule.unwrap().state(), RuleState::Active);
    let job = evaluated.bulk_association.unwrap();
    let job = JobCaller::new(&service, "payments", BULK).wait_for_end(&job.id).await;
    assert_eq!(job.counts.unwrap().succeeded, 8);
    let active = rules.get(&created.id).await.unwrap();
    assert_eq!((active.pause_reason.as_str(), active.max_changes), ("", Some(5)));
    service.stop().await;
}

#[tokio::test]
async fn the_rule_with_the_lowest_number_decides_and_equal_ones_change_nothing() {
    let service = Plan::with_resources(|it| groups(it, "a", 2)).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let with = |priority, key: String, pattern| EncryptionRule {
        priority,
        ..rule(RuleMode::Enforce, &[pattern], &key)
    };
    let first = rules.create(with(1, key("good"), "/payments/a-000")).await.unwrap();
    rules.wait(&first.id, |rule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 1)).await;
    let later = rules.create(with(2, key("next"), "/payments/a-*")).await.unwrap();
    rules.wait(&later.id, |rule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 1)).await;
    assert_eq!(key_of(&service, "/payments/a-000"), Some(key("good")));
    assert_eq!(key_of(&service, "/payments/a-001"), Some(key("next")));

    let equal = rules.create(with(2, key("good"), "/payments/a-001")).await.unwrap();
    let evaluated = rules.wait_for_evaluation(&equal.id).await;
    assert_eq!(
        (evaluation(&evaluated).findings, evaluation(&evaluated).bulk_association_id.as_str()),
        (1, "")
    );
    assert_eq!(key_of(&service, "/payments/a-001"), Some(key("next")), "neither rule changes it");
    service.stop().await;
}

/// How the log groups of the tenant count, once they count so.
async fn wait_for_counts(service: &Service, expected: impl Fn(&CoverageCounts) -> bool) {
    let caller = service.caller("payments", BULK);
    let waiting = async {
        loop {
            let all = caller.request(GetCoverageRequest::default());
            let report = CoverageServiceClient::new(caller.channel()).get_coverage(all).await.unwrap();
            let total = report.into_inner().total.unwrap();
            if expected(&total) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), waiting).await.unwrap();
}

#[tokio::test]
async fn without_its_last_rule_a_tenant_has_no_compliant_group() {
    let service = Plan::with_resources(|it| groups(it, "a", 4)).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*"], &key("good"))).await.unwrap();
    wait_for_counts(&service, |total| total.compliant == 4).await;
    rules.delete(&created.id, "").await.unwrap();
    wait_for_counts(&service, |total| total.no_rule == total.total && total.total > 4).await;

    let again = rules.create(rule(RuleMode::Report, &["/payments/a-*"], &key("good"))).await.unwrap();
    wait_for_counts(&service, |total| total.compliant == 4).await;
    let disabled = EncryptionRule { state: RuleState::Disabled.into(), ..again };
    rules.update(disabled, &["state"]).await.unwrap();
    wait_for_counts(&service, |total| total.no_rule == total.total).await;
    service.stop().await;
}

#[tokio::test]
async fn a_rule_that_leaves_the_configuration_during_a_restart_no_longer_counts() {
    let declared = configured("baseline", "report", "log_groups = [\"/payments/a-*\"]\n");
    let service = Plan::with_resources(|it| groups(it, "a", 2)).tenants(&declared).start().await;
    wait_for_counts(&service, |total| total.no_key == 2).await;
    let without = tenant("payments", PAYMENTS, GENEROUS) + &tenant("orders", ORDERS, GENEROUS);
    let settings = std::fs::read_to_string(service.settings()).unwrap().replace(&declared, &without);
    std::fs::write(service.settings(), settings).unwrap();
    let service = service.restart().await;
    wait_for_counts(&service, |total| total.no_rule == total.total && total.total > 2).await;
    service.stop().await;
}

#[tokio::test]
async fn a_rule_of_the_configuration_acts_as_the_tenant_and_is_read_only() {
    let exempt = "log_groups = [\"/payments/a-*\"]\npriority = 7\n\
        exemptions = [{ pattern = \"/payments/a-001\", reason = \"no customer data\" }]\n";
    let tenants = configured("baseline", "enforce", exempt);
    let service = Plan::with_resources(|it| groups(it, "a", 3)).tenants(&tenants).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let done = rules
        .wait("baseline", |rule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 2))
        .await;
    assert_eq!((done.subject.as_str(), done.origin()), ("rule/baseline", RuleOrigin::Configuration));
    assert_eq!((evaluation(&done).groups, evaluation(&done).findings), (3, 1));
    assert_eq!(key_of(&service, "/payments/a-001"), None, "it is exempt");
    let events = service.events().await;
    let changes = events.iter().filter(|event| event.kind == "intent");
    assert!(
        changes.clone().count() == 2
            && changes.into_iter().all(|it| it.subject.as_deref() == Some("rule/baseline"))
    );

    let refused =
        rules.update(EncryptionRule { priority: 1, ..done.clone() }, &["priority"]).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "RULE_READ_ONLY".into()));
    let refused = rules.delete("baseline", "").await.unwrap_err();
    assert_eq!(reason(&refused), "RULE_READ_ONLY");
    let evaluated = rules.evaluate("baseline", None).await.unwrap();
    assert_eq!(evaluated.bulk_association, None);

    let own =
        rules.create(EncryptionRule { priority: 5, ..rule(RuleMode::Report, &["*"], &key("good")) }).await;
    let last =
        rules.create(EncryptionRule { priority: 9, ..rule(RuleMode::Report, &["*"], &key("good")) }).await;
    let (own, last) = (own.unwrap().id, last.unwrap().id);
    for page_size in [1, 2, 50] {
        assert_eq!(rules.list("", page_size).await.unwrap(), [&*own, "baseline", &*last], "{page_size}");
    }
    let operator = RuleCaller::new(&service, "orders", "logkey:admin");
    assert_eq!(operator.list("", 2).await.unwrap().len(), 3);
    assert_eq!(operator.get("baseline").await.unwrap().tenant_id, "payments");
    let orders = RuleCaller::new(&service, "orders", BULK);
    for id in ["baseline", &*own] {
        assert_eq!(reason(&orders.get(id).await.unwrap_err()), "ENCRYPTION_RULE_NOT_FOUND");
        assert_eq!(reason(&orders.get_of(id, "payments").await.unwrap_err()), "ENCRYPTION_RULE_NOT_FOUND");
        assert_eq!(reason(&orders.evaluate(id, None).await.unwrap_err()), "ENCRYPTION_RULE_NOT_FOUND");
        assert_eq!(reason(&operator.delete(id, "").await.unwrap_err()), "SCOPE_MISSING");
    }
    assert_eq!(orders.list("payments", 10).await.unwrap(), Vec::<String>::new());

    service.reload(&configured("baseline", "enforce", "log_groups = [\"/payments/a-*\"]\n")).await;
    rules.wait("baseline", |rule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 3)).await;
    service.reload(&tenant("payments", PAYMENTS, GENEROUS)).await;
    assert_eq!(reason(&rules.get("baseline").await.unwrap_err()), "ENCRYPTION_RULE_NOT_FOUND");
    service.stop().await;
}
