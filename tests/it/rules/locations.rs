//! Rules over several locations and over query results, and what coverage says of each.

use std::{fs, path::Path, time::Duration};

use logkey::proto::{CoverageFinding, FindingKind, GetCoverageResponse, Selection};
use serde_json::Value;

use super::*;
use crate::bulk::{OTHER, two_accounts};

async fn coverage_of(service: &Service, rule: &str) -> (GetCoverageResponse, Vec<CoverageFinding>) {
    let caller = service.caller("payments", BULK);
    let mut coverage = CoverageServiceClient::new(caller.channel());
    let by_account = GetCoverageRequest {
        group_by: CoverageGrouping::Account.into(),
        rule_id: rule.into(),
        ..GetCoverageRequest::default()
    };
    let report = coverage.get_coverage(caller.request(by_account)).await.unwrap().into_inner();
    let of_rule = ListCoverageFindingsRequest { rule_id: rule.into(), page_size: 500, ..Default::default() };
    let page = coverage.list_coverage_findings(caller.request(of_rule)).await.unwrap().into_inner();
    (report, page.findings)
}

fn refused_role() -> logkey::sandbox::fault::Fault {
    let effect = logkey::sandbox::fault::Effect::Error {
        code: "AccessDenied".into(),
        message: Some("User is not authorized to perform: sts:AssumeRole".into()),
        status: Some(403),
    };
    logkey::sandbox::fault::Fault {
        account: Some(OTHER.into()),
        ..logkey::sandbox::fault::Fault::on("AssumeRole", effect)
    }
}

#[tokio::test]
async fn a_rule_counts_what_it_can_read_and_names_what_it_cannot() {
    let service = two_accounts(4).settings("[fleet]\ninterval = \"1h\"\n").start().await;
    service.sandbox.sandbox().fault(refused_role());
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Enforce, &["/payments/a-*", "/payments/b-*"], &key("good")));
    let id = created.await.unwrap().id;
    let is_set = |rule: &EncryptionRule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 4);
    let evaluated = evaluation(&rules.wait(&id, is_set).await);
    assert_eq!((evaluated.groups, evaluated.changed), (4, 4));
    let [unreadable] = <[_; 1]>::try_from(evaluated.unreadable_locations).unwrap();
    assert_eq!((&*unreadable.account_id, unreadable.known_as_of), (OTHER, None));
    assert_eq!(unreadable.error.unwrap().reason, "ROLE_NOT_ASSUMABLE");

    let (report, _) = coverage_of(&service, &id).await;
    assert_eq!(report.total.unwrap().compliant, 4);
    let errors: Vec<_> = report.locations.iter().map(|it| (&*it.account_id, it.error.is_some())).collect();
    assert_eq!(errors, [(PAYMENTS, false), (OTHER, true)], "the number does not hide the account");

    // Once the account can be entered, an evaluation reads it. The refusal of its role is cached for seconds. The key
    // of the rule is in the other account, which this tenant may not use there.
    service.sandbox.sandbox().clear_faults();
    let until_read = async {
        loop {
            rules.evaluate(&id, None).await.unwrap();
            let read = coverage_of(&service, &id).await;
            if read.0.total.unwrap().total == 8 {
                return read;
            }
        }
    };
    let (report, findings) = tokio::time::timeout(Duration::from_mins(1), until_read).await.unwrap();
    assert!(report.locations.iter().all(|it| it.error.is_none() && it.known_as_of.is_some()), "{report:?}");
    assert_eq!(findings.len(), 4, "{findings:?}");
    assert!(findings.iter().all(|it| it.account_id == OTHER && !it.reason.is_empty()), "{findings:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_location_that_becomes_unreadable_keeps_its_last_numbers() {
    let service = two_accounts(3).settings("[fleet]\ninterval = \"1h\"\n").start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let all = rule(RuleMode::Report, &["/payments/a-*", "/payments/b-*"], &key("good"));
    let id = rules.create(all).await.unwrap().id;
    rules.wait_for_evaluation(&id).await;
    let (before, _) = coverage_of(&service, &id).await;
    assert_eq!(before.total.unwrap().total, 6);
    // A session that exists stays good, so the calls with it are refused.
    let effect = logkey::sandbox::fault::Effect::Error {
        code: "AccessDeniedException".into(),
        message: Some("User is not authorized to perform: logs:DescribeLogGroups".into()),
        status: None,
    };
    service.sandbox.sandbox().fault(logkey::sandbox::fault::Fault {
        account: Some(OTHER.into()),
        ..logkey::sandbox::fault::Fault::on("DescribeLogGroups", effect)
    });
    rules.evaluate(&id, None).await.unwrap();
    let (after, findings) = coverage_of(&service, &id).await;
    assert_eq!((after.total, findings.len()), (before.total, 6), "what was known stays known");
    let of = |report: &GetCoverageResponse, account: &str| {
        report.locations.iter().find(|it| it.account_id == account).cloned().unwrap()
    };
    assert_eq!(of(&after, OTHER).known_as_of, of(&before, OTHER).known_as_of);
    assert!(of(&after, OTHER).error.is_some());
    assert_ne!(of(&after, PAYMENTS).known_as_of, of(&before, PAYMENTS).known_as_of);
    service.stop().await;
}

#[tokio::test]
async fn a_rule_sets_the_key_of_query_results() {
    let service = Plan::default().start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let results = EncryptionRule {
        selection: Some(Selection {
            log_group_patterns: vec!["/payments/none-*".into()],
            query_results: true,
            ..Selection::default()
        }),
        ..rule(RuleMode::Report, &[], &key("good"))
    };
    let id = rules.create(results).await.unwrap().id;
    let reported = evaluation(&rules.wait_for_evaluation(&id).await);
    assert_eq!((reported.to_change, reported.findings), (1, 1));
    let (report, findings) = coverage_of(&service, &id).await;
    assert_eq!(report.total.unwrap().total, 0, "coverage counts log groups");
    assert_eq!(findings[0].kind(), FindingKind::Unknown, "AWS does not tell the key of query results");
    assert_eq!(service.sandbox.sandbox().query_results_key(PAYMENTS, REGION), None);

    let enforced = EncryptionRule { mode: RuleMode::Enforce.into(), ..rules.get(&id).await.unwrap() };
    rules.update(enforced, &["mode"]).await.unwrap();
    let is_set = |rule: &EncryptionRule| rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == 1);
    rules.wait(&id, is_set).await;
    assert_eq!(service.sandbox.sandbox().query_results_key(PAYMENTS, REGION), Some(key("good")));
    assert!(coverage_of(&service, &id).await.1.is_empty());
    rules.evaluate(&id, None).await.unwrap();
    assert_eq!(service.reached("AssociateKmsKey").len(), 1, "its own record knows the key");
    service.stop().await;
}

fn findings_in(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap_or_default();
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["class_uid"] == 2003).collect()
}

#[tokio::test]
async fn findings_reach_a_sink_when_they_appear_and_when_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let sink = format!(
        "[audit]\nfindings = true\n[[audit.sinks]]\ntype = \"file\"\npath = \"{}\"\n",
        path.display()
    );
    let service = Plan::with_resources(|it| groups(it, "a", 2)).settings(&sink).start().await;
    let rules = RuleCaller::new(&service, "payments", BULK);
    let created = rules.create(rule(RuleMode::Report, &["/payments/a-*"], &key("good"))).await.unwrap();
    rules.wait_for_evaluation(&created.id).await;
    service.caller("payments", BULK).associate("/payments/a-000", &key("good")).await.unwrap();
    rules.evaluate(&created.id, None).await.unwrap();
    service.stop().await;
    let of_rule = |event: &&Value| event["compliance"]["control"] == created.id.as_str();
    let events = findings_in(&path);
    let changes: Vec<_> = events
        .iter()
        .filter(of_rule)
        .map(|it| (it["resources"][0]["name"].as_str().unwrap(), it["activity_name"].as_str().unwrap()))
        .collect();
    let mut sorted = changes.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [("/payments/a-000", "Close"), ("/payments/a-000", "Create"), ("/payments/a-001", "Create")]
    );
    assert!(events.iter().all(|it| it["metadata"]["tenant_uid"] == "payments"), "{events:?}");
}
