//! Coverage: counts, findings and history, read through the service.

use std::{sync::Arc, time::Duration};

use logkey::{
    domain::{
        association::{Location, Resource, Target},
        audit::{Compliance, FindingChange},
        fleet::{CoverageClass, CoverageCount, Failure, Finding, FindingKind, LocationCoverage},
        reason::Reason,
        time::Timestamp,
    },
    ports::coverage::CoverageStore as _,
    proto::{
        CoverageCounts, CoverageGrouping, CoverageLocation, FindingKind as WireKind,
        GetCoverageHistoryRequest, GetCoverageHistoryResponse, GetCoverageRequest, GetCoverageResponse,
        ListCoverageFindingsRequest, ListCoverageFindingsResponse, coverage_finding,
        coverage_service_client::CoverageServiceClient,
    },
    service::RecordedFindings,
    store::{self, Store},
    testing::{FakeAudit, FakeClock},
};
use tonic::{Code, Status};

use crate::harness::{Caller, ORDERS, PAYMENTS, Plan, Postgres, REGION, Service, key, reason, tenant};

const READ: &str = "logkey:read";
const ADMIN: &str = "logkey:admin";
const DAY: Duration = Duration::from_hours(24);

/// A running service, and its store for recording.
struct Stage {
    service: Service,
    store: Store,
    /// The start of the test.
    now: Timestamp,
    _postgres: Postgres,
}

impl Stage {
    async fn start(plan: Plan) -> Self {
        let postgres = Postgres::start().await;
        let service = plan.over(&postgres).start().await;
        let store = store::open(&store::Config { url: postgres.url() }).await.unwrap();
        Self { service, store, now: now(), _postgres: postgres }
    }

    async fn record(&self, found: LocationCoverage) {
        self.store.coverage.record(&found).await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the service reads the system's clock too")]
fn now() -> Timestamp {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap())
}

fn location(account: &str, region: &str) -> Location {
    Location { account: account.parse().unwrap(), region: region.parse().unwrap() }
}

fn count(rule: &str, key_id: &str, class: CoverageClass, count: u64) -> CoverageCount {
    CoverageCount {
        rule: (!rule.is_empty()).then(|| rule.into()),
        key: (!key_id.is_empty()).then(|| key(key_id).parse().unwrap()),
        class,
        count,
    }
}

fn finding(name: &str, kind: FindingKind, class: CoverageClass) -> Finding {
    Finding {
        resource: Resource {
            location: location(PAYMENTS, REGION),
            target: Target::LogGroup(name.parse().unwrap()),
        },
        class,
        kind,
        rule: Some("all".into()),
        other_rules: Vec::new(),
        wanted: Some(key("good").parse().unwrap()),
        current: None,
        failure: None,
        exemption: None,
        changed_by: None,
        job: None,
    }
}

fn found(tenant: &str, at: Location, as_of: Timestamp) -> LocationCoverage {
    LocationCoverage {
        tenant: tenant.parse().unwrap(),
        location: at,
        as_of,
        failure: None,
        counts: Vec::new(),
        findings: Vec::new(),
    }
}

/// What an evaluation of the account of `payments` found.
fn payments(as_of: Timestamp) -> LocationCoverage {
    let other = Finding {
        current: Some(key("next").parse().unwrap()),
        changed_by: Some("arn:aws:iam::111122223333:user/mallory".into()),
        failure: Some(Failure {
            remedy_document: Some("{\"Sid\":\"AllowLogs\"}".into()),
            ..Failure::new(Reason::KeyPolicyLacksLogsService, "add the statement to the key's policy")
        }),
        ..finding("/payments/api", FindingKind::OtherKey, CoverageClass::OtherKey)
    };
    let exempt = Finding {
        exemption: Some("ticket 7".into()),
        ..finding("/payments/exempt", FindingKind::Exempt, CoverageClass::Exempt)
    };
    let conflict = Finding {
        rule: Some("all".into()),
        other_rules: vec!["pci".into()],
        wanted: None,
        ..finding("/payments/hash#1", FindingKind::Conflict, CoverageClass::Conflict)
    };
    LocationCoverage {
        counts: vec![
            count("", "good", CoverageClass::Compliant, 5),
            count("", "next", CoverageClass::OtherKey, 1),
            count("", "", CoverageClass::Exempt, 1),
            count("", "", CoverageClass::Conflict, 1),
            count("", "", CoverageClass::NoRule, 2),
            count("all", "good", CoverageClass::Compliant, 5),
            count("all", "next", CoverageClass::OtherKey, 1),
            count("all", "", CoverageClass::Exempt, 1),
            count("all", "", CoverageClass::Conflict, 1),
            count("pci", "", CoverageClass::NoKey, 1),
        ],
        findings: vec![other, exempt, conflict],
        ..found("payments", location(PAYMENTS, REGION), as_of)
    }
}

fn orders(as_of: Timestamp) -> LocationCoverage {
    LocationCoverage {
        counts: vec![count("", "", CoverageClass::NoKey, 3), count("all", "", CoverageClass::NoKey, 3)],
        findings: vec![Finding {
            resource: Resource {
                location: location(ORDERS, REGION),
                target: Target::LogGroup("/orders/api".parse().unwrap()),
            },
            ..finding("/x", FindingKind::NoKey, CoverageClass::NoKey)
        }],
        ..found("orders", location(ORDERS, REGION), as_of)
    }
}

fn unreadable(of: LocationCoverage) -> LocationCoverage {
    let failure = Failure::new(Reason::RoleNotAssumable, "install the trust policy");
    LocationCoverage { failure: Some(failure), counts: Vec::new(), findings: Vec::new(), ..of }
}

async fn coverage(caller: &Caller, message: GetCoverageRequest) -> Result<GetCoverageResponse, Status> {
    let mut client = CoverageServiceClient::new(caller.channel());
    client.get_coverage(caller.request(message)).await.map(tonic::Response::into_inner)
}

async fn findings(
    caller: &Caller,
    message: ListCoverageFindingsRequest,
) -> Result<ListCoverageFindingsResponse, Status> {
    let mut client = CoverageServiceClient::new(caller.channel());
    client.list_coverage_findings(caller.request(message)).await.map(tonic::Response::into_inner)
}

async fn history(
    caller: &Caller,
    message: GetCoverageHistoryRequest,
) -> Result<GetCoverageHistoryResponse, Status> {
    let mut client = CoverageServiceClient::new(caller.channel());
    client.get_coverage_history(caller.request(message)).await.map(tonic::Response::into_inner)
}

fn by(grouping: CoverageGrouping) -> GetCoverageRequest {
    GetCoverageRequest { group_by: grouping.into(), ..GetCoverageRequest::default() }
}

/// The groups with their totals.
fn groups(report: &GetCoverageResponse) -> Vec<(&str, u32)> {
    report.groups.iter().map(|group| (&*group.value, group.counts.unwrap().total)).collect()
}

fn adds_up(counts: &CoverageCounts) -> bool {
    let parts = [
        counts.compliant,
        counts.other_key,
        counts.no_key,
        counts.key_unhealthy,
        counts.exempt,
        counts.unknown,
        counts.no_rule,
        counts.conflict,
    ];
    parts.iter().sum::<u32>() == counts.total
}

/// The reason of each location's error.
fn error_reasons(locations: &[CoverageLocation]) -> Vec<&str> {
    locations.iter().map(|it| it.error.as_ref().map_or("", |error| &*error.reason)).collect()
}

#[tokio::test]
async fn log_groups_are_counted_in_total_and_by_every_grouping() {
    let stage = Stage::start(Plan::default()).await;
    stage.record(payments(stage.now)).await;
    stage.record(orders(stage.now)).await;
    let caller = stage.service.caller("payments", READ);
    let report = coverage(&caller, GetCoverageRequest::default()).await.unwrap();
    let total = report.total.unwrap();
    assert!(report.groups.is_empty());
    assert_eq!((total.total, total.compliant, total.other_key, total.exempt), (10, 5, 1, 1));
    assert_eq!((total.no_rule, total.conflict, total.no_key), (2, 1, 0));
    let locations = &report.locations;
    assert_eq!((locations.len(), &*locations[0].account_id, &*locations[0].region), (1, PAYMENTS, REGION));
    assert!(locations[0].known_as_of.is_some() && locations[0].error.is_none());

    for (grouping, expected) in [
        (CoverageGrouping::Tenant, vec![("payments", 10)]),
        (CoverageGrouping::Account, vec![(PAYMENTS, 10)]),
        (CoverageGrouping::Region, vec![(REGION, 10)]),
        (CoverageGrouping::Key, vec![("", 4), (&key("good"), 5), (&key("next"), 1)]),
        // Each rule alone counts what it selects.
        (CoverageGrouping::Rule, vec![("", 2), ("all", 8), ("pci", 1)]),
    ] {
        let report = coverage(&caller, by(grouping)).await.unwrap();
        assert_eq!(groups(&report), expected, "{grouping:?}");
        assert_eq!(report.total, Some(total), "{grouping:?}");
        assert!(report.groups.iter().all(|group| adds_up(&group.counts.unwrap())));
    }
    assert!(adds_up(&total));

    let unknown = GetCoverageRequest { rule_id: "none".into(), ..by(CoverageGrouping::Account) };
    assert_eq!(reason(&coverage(&caller, unknown).await.unwrap_err()), "ENCRYPTION_RULE_NOT_FOUND");

    let admin = stage.service.caller("orders", ADMIN);
    let report = coverage(&admin, by(CoverageGrouping::Tenant)).await.unwrap();
    assert_eq!(groups(&report), [("orders", 3), ("payments", 10)]);
    let named = GetCoverageRequest { tenant_id: "payments".into(), ..by(CoverageGrouping::Account) };
    assert_eq!(groups(&coverage(&admin, named).await.unwrap()), [(PAYMENTS, 10)]);
    stage.service.stop().await;
}

#[tokio::test]
async fn a_report_says_which_locations_are_not_known_and_why() {
    let two = tenant("payments", PAYMENTS, "{ per_second = 1000, burst = 1000, max_in_flight = 100 }")
        .replace("regions = [\"eu-west-1\"]", "regions = [\"eu-west-1\", \"eu-west-2\", \"eu-west-3\"]");
    let stage = Stage::start(Plan::default().tenants(&two)).await;
    let caller = stage.service.caller("payments", READ);
    let nothing = coverage(&caller, GetCoverageRequest::default()).await.unwrap();
    assert_eq!(nothing.total.unwrap().total, 0);
    assert_eq!(error_reasons(&nothing.locations), ["NOT_EVALUATED"; 3]);

    stage.record(payments(stage.now)).await;
    stage.record(unreadable(payments(stage.now.plus(Duration::from_secs(1))))).await;
    stage.record(unreadable(found("payments", location(PAYMENTS, "eu-west-2"), stage.now))).await;
    // A location that the tenant does not have any more does not count.
    let gone = LocationCoverage {
        counts: vec![count("", "", CoverageClass::NoKey, 100)],
        ..found("payments", location(ORDERS, REGION), stage.now)
    };
    stage.record(gone).await;
    let report = coverage(&caller, GetCoverageRequest::default()).await.unwrap();
    assert_eq!(report.total.unwrap().total, 10, "the last known numbers stay");
    let expected = ["ROLE_NOT_ASSUMABLE", "ROLE_NOT_ASSUMABLE", "NOT_EVALUATED"];
    assert_eq!(error_reasons(&report.locations), expected);
    let known: Vec<bool> = report.locations.iter().map(|it| it.known_as_of.is_some()).collect();
    assert_eq!(known, [true, false, false]);
    let as_of = report.locations[0].known_as_of.unwrap();
    assert_eq!(as_of.seconds, stage.now.as_secs());
    assert_eq!(report.locations[0].error.as_ref().unwrap().message, "install the trust policy");

    let listed = findings(&caller, ListCoverageFindingsRequest::default()).await.unwrap();
    assert_eq!(listed.locations, report.locations);
    let past = history(&caller, GetCoverageHistoryRequest::default()).await.unwrap();
    assert_eq!(past.locations, report.locations);
    assert_eq!(past.points[0].unreadable_locations, 2);

    let one = GetCoverageRequest { region: "eu-west-3".into(), ..GetCoverageRequest::default() };
    let one = coverage(&caller, one).await.unwrap();
    assert_eq!((one.total.unwrap().total, one.locations.len()), (0, 1));
    stage.service.stop().await;
}

#[tokio::test]
async fn findings_say_what_is_wrong_since_when_and_what_to_do() {
    let stage = Stage::start(Plan::default()).await;
    stage.record(payments(stage.now)).await;
    stage.record(payments(stage.now.plus(Duration::from_mins(1)))).await;
    let caller = stage.service.caller("payments", READ);
    let page = findings(&caller, ListCoverageFindingsRequest::default()).await.unwrap();
    let [other, conflict] = page.findings.try_into().unwrap();
    assert!(page.next_page_token.is_empty());
    assert_eq!(other.resource, Some(coverage_finding::Resource::LogGroupName("/payments/api".into())));
    assert_eq!((other.kind(), &*other.rule_id, &*other.tenant_id), (WireKind::OtherKey, "all", "payments"));
    assert_eq!((other.kms_key_arn, other.current_kms_key_arn), (key("good"), key("next")));
    assert_eq!(other.start_time.unwrap().seconds, stage.now.as_secs(), "since the first observation");
    assert_eq!(
        (&*other.reason, &*other.remedy),
        ("KEY_POLICY_LACKS_LOGS_SERVICE", "add the statement to the key's policy")
    );
    assert_eq!(other.remedy_document, "{\"Sid\":\"AllowLogs\"}");
    assert!(other.changed_by.ends_with("user/mallory") && other.message.contains(&key("next")));
    assert_eq!(conflict.kind(), WireKind::Conflict);
    assert_eq!((&*conflict.rule_id, conflict.other_rule_ids), ("all", vec!["pci".to_owned()]));
    assert!(conflict.remedy.contains("all and pci"), "{}", conflict.remedy);

    let exempt = ListCoverageFindingsRequest { kinds: vec![WireKind::Exempt.into()], ..Default::default() };
    let exempt = findings(&caller, exempt).await.unwrap().findings;
    assert_eq!((exempt.len(), &*exempt[0].message, &*exempt[0].remedy), (1, "ticket 7", ""));

    let every = ListCoverageFindingsRequest { page_size: 1, kinds: vec![1, 4, 7], ..Default::default() };
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let next = ListCoverageFindingsRequest { page_token: token.clone(), ..every.clone() };
        let page = findings(&caller, next).await.unwrap();
        assert!(page.findings.len() <= 1);
        ids.extend(page.findings.into_iter().map(|finding| finding.id));
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
        let other =
            ListCoverageFindingsRequest { page_token: token.clone(), kinds: vec![1], ..every.clone() };
        assert_eq!(findings(&caller, other).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(ids.len(), 3);
    ids.dedup();
    assert_eq!(ids.len(), 3);
    stage.service.stop().await;
}

#[tokio::test]
async fn other_tenants_and_hidden_log_groups_look_absent() {
    let forbid = r#"forbid (principal, action == LogKey::Action::"GetKeyAssociation", resource is LogKey::LogGroup)
        when { resource.name like "/payments/a*" };"#;
    let stage = Stage::start(Plan::default().policies(forbid)).await;
    stage.record(payments(stage.now)).await;
    stage.record(orders(stage.now)).await;
    let caller = stage.service.caller("payments", READ);
    let list = ListCoverageFindingsRequest { page_size: 1, ..Default::default() };
    let page = findings(&caller, list).await.unwrap();
    assert_eq!(page.findings.len(), 1);
    assert_eq!(
        page.findings[0].resource,
        Some(coverage_finding::Resource::LogGroupName("/payments/hash#1".into()))
    );

    let foreign = GetCoverageRequest { tenant_id: "orders".into(), ..Default::default() };
    let nothing = coverage(&caller, foreign).await.unwrap();
    assert!(nothing.total.unwrap().total == 0 && nothing.locations.is_empty());
    let foreign = ListCoverageFindingsRequest { tenant_id: "orders".into(), ..Default::default() };
    assert!(findings(&caller, foreign).await.unwrap().findings.is_empty());
    let foreign = GetCoverageHistoryRequest { tenant_id: "orders".into(), ..Default::default() };
    assert!(history(&caller, foreign).await.unwrap().points.is_empty());

    let masked =
        |status: Status, value: &str| (status.code(), reason(&status), status.message().replace(value, "X"));
    let mut errors = Vec::new();
    for account in [ORDERS, "999999999999"] {
        let named = GetCoverageRequest { account_id: account.into(), ..Default::default() };
        errors.push(masked(coverage(&caller, named).await.unwrap_err(), account));
        let named = ListCoverageFindingsRequest { account_id: account.into(), ..Default::default() };
        errors.push(masked(findings(&caller, named).await.unwrap_err(), account));
    }
    errors.dedup();
    assert_eq!((errors.len(), errors[0].0, &*errors[0].1), (1, Code::NotFound, "ACCOUNT_NOT_FOUND"));
    let named = GetCoverageRequest { rule_id: "absent".into(), ..Default::default() };
    let absent = coverage(&caller, named).await.unwrap_err();
    assert_eq!((absent.code(), &*reason(&absent)), (Code::NotFound, "ENCRYPTION_RULE_NOT_FOUND"));

    for scopes in ["logkey:associate", "logkey:audit logkey:bulk"] {
        let refused =
            coverage(&stage.service.caller("payments", scopes), GetCoverageRequest::default()).await;
        assert_eq!(reason(&refused.unwrap_err()), "SCOPE_MISSING");
    }
    let events = stage.service.events().await;
    let recorded = |action: &str, kind: &str| events.iter().any(|it| it.action == action && it.kind == kind);
    for action in ["GetCoverage", "ListCoverageFindings", "GetCoverageHistory"] {
        assert!(recorded(action, "read"), "{action}");
    }
    assert!(recorded("GetCoverage", "refusal"));
    stage.service.stop().await;
}

#[tokio::test]
async fn the_history_has_a_point_for_each_evaluated_day() {
    let stage = Stage::start(Plan::default()).await;
    stage.record(orders(stage.now.minus(DAY * 3))).await;
    stage.record(payments(stage.now.minus(DAY * 2))).await;
    stage.record(unreadable(payments(stage.now))).await;
    let caller = stage.service.caller("payments", READ);
    let past = history(&caller, GetCoverageHistoryRequest::default()).await.unwrap();
    let [before, today] = past.points.try_into().unwrap();
    assert_eq!((before.counts.unwrap().total, before.unreadable_locations), (10, 0));
    assert_eq!((today.counts, today.unreadable_locations), (before.counts, 1));
    assert!(before.date < today.date && before.date.len() == 10, "{} {}", before.date, today.date);
    let last = GetCoverageHistoryRequest { days: 1, ..Default::default() };
    assert_eq!(history(&caller, last).await.unwrap().points.len(), 1);
    let admin = stage.service.caller("payments", ADMIN);
    assert_eq!(history(&admin, GetCoverageHistoryRequest::default()).await.unwrap().points.len(), 3);
    let invalid = GetCoverageHistoryRequest { days: -1, ..Default::default() };
    assert_eq!(history(&caller, invalid).await.unwrap_err().code(), Code::InvalidArgument);
    stage.service.stop().await;
}

#[tokio::test]
async fn findings_are_events_of_the_audit_log_if_configured() {
    let postgres = Postgres::start().await;
    let store = store::open(&store::Config { url: postgres.url() }).await.unwrap();
    let audit = Arc::new(FakeAudit::default());
    let clock = Arc::new(FakeClock::default());
    let findings = RecordedFindings::new(store.coverage, audit.clone(), clock);
    let start = now();
    findings.record(&payments(start)).await.unwrap();
    let mut second = payments(start.plus(Duration::from_secs(1)));
    second.findings[0].current = None;
    second.findings[2].kind = FindingKind::OtherKey;
    second.findings.remove(1);
    findings.record(&second).await.unwrap();
    findings.record(&second).await.unwrap();
    findings.record(&found("payments", location(PAYMENTS, REGION), start.plus(DAY))).await.unwrap();
    let recorded: Vec<_> = audit.entries().into_iter().map(|entry| *entry.event.finding.unwrap()).collect();
    let steps: Vec<_> = recorded.iter().map(|it| (it.change, it.kind, it.compliance)).collect();
    let (fail, pass, warning) = (Compliance::Fail, Compliance::Pass, Compliance::Warning);
    let (new, changed, resolved) = (FindingChange::New, FindingChange::Changed, FindingChange::Resolved);
    assert_eq!(
        steps,
        [
            (new, "OTHER_KEY", fail),
            (new, "EXEMPT", warning),
            (new, "CONFLICT", fail),
            (new, "OTHER_KEY", fail),
            (changed, "OTHER_KEY", fail),
            (resolved, "EXEMPT", pass),
            // The resource has another finding instead.
            (resolved, "CONFLICT", fail),
            (resolved, "OTHER_KEY", pass),
            (resolved, "OTHER_KEY", pass),
        ]
    );
    assert_eq!(recorded[0].id, recorded[4].id);
    assert_eq!((recorded[4].since, &*recorded[0].remedy), (start, "add the statement to the key's policy"));
    assert!(
        audit.entries().iter().all(|entry| entry.event.actor.tenant.as_ref().unwrap().as_str() == "payments")
    );
}
