//! Coverage: the counts, findings and history of locations.

use logkey::{
    domain::{
        association::{Location, Resource, Target},
        fleet::{CoverageClass, CoverageCount, Failure, Finding, FindingKind, JobId, LocationCoverage},
        reason::Reason,
    },
    ports::coverage::{
        CountedRules, CoverageFilter, FindingChanges, FindingFilter, FindingKey, FindingWindow,
        StoredFinding, TenantLocation,
    },
    store::Store,
    testing,
};

use super::{Backend, at};

const DAY: i64 = 24 * 60 * 60;
/// Noon of a day.
const NOON: i64 = 20_000 * DAY + DAY / 2;

fn location(account: u64) -> Location {
    Location { account: format!("{account:012}").parse().unwrap(), region: "eu-west-1".parse().unwrap() }
}

fn tenant_location(tenant: &str, account: u64) -> TenantLocation {
    TenantLocation { tenant: tenant.parse().unwrap(), location: location(account) }
}

fn count(rule: Option<&str>, class: CoverageClass, count: u64) -> CoverageCount {
    let key = matches!(class, CoverageClass::Compliant).then(|| testing::KEY.parse().unwrap());
    CoverageCount { rule: rule.map(Into::into), key, class, count }
}

fn finding(account: u64, name: &str, kind: FindingKind, class: CoverageClass) -> Finding {
    let target = match name {
        "" => Target::QueryResults,
        name => Target::LogGroup(name.parse().unwrap()),
    };
    Finding {
        resource: Resource { location: location(account), target },
        class,
        kind,
        rule: Some("all".into()),
        other_rules: Vec::new(),
        wanted: Some(testing::KEY.parse().unwrap()),
        current: None,
        failure: None,
        exemption: None,
        changed_by: None,
        job: None,
    }
}

fn no_key(account: u64, name: &str) -> Finding {
    finding(account, name, FindingKind::NoKey, CoverageClass::NoKey)
}

fn found(tenant: &str, account: u64, as_of: i64, findings: Vec<Finding>) -> LocationCoverage {
    let missing = u64::try_from(findings.len()).unwrap();
    LocationCoverage {
        tenant: tenant.parse().unwrap(),
        location: location(account),
        as_of: at(as_of),
        failure: None,
        counts: vec![
            count(None, CoverageClass::Compliant, 10),
            count(None, CoverageClass::NoKey, missing),
            count(Some("all"), CoverageClass::Compliant, 10),
            count(Some("all"), CoverageClass::NoKey, missing),
        ],
        findings,
    }
}

fn unreadable(tenant: &str, account: u64, as_of: i64) -> LocationCoverage {
    let failure = Failure::new(Reason::RoleNotAssumable, "install the trust policy");
    let coverage = found(tenant, account, as_of, Vec::new());
    LocationCoverage { failure: Some(failure), counts: Vec::new(), ..coverage }
}

async fn findings(store: &Store, filter: &FindingFilter) -> Vec<StoredFinding> {
    store.coverage.findings(filter, &window(None, 100)).await.unwrap()
}

fn window(after: Option<FindingKey>, limit: u32) -> FindingWindow {
    FindingWindow { after, skip: 0, limit }
}

/// The names of findings.
fn names(findings: &[StoredFinding]) -> Vec<String> {
    let name = |found: &StoredFinding| match &found.finding.resource.target {
        Target::LogGroup(name) => name.to_string(),
        Target::QueryResults => String::new(),
    };
    findings.iter().map(name).collect()
}

async fn total(store: &Store, rules: CountedRules<'_>, class: CoverageClass) -> u64 {
    let counts = store.coverage.counts(&CoverageFilter::default(), rules, false).await.unwrap();
    counts.iter().filter(|count| count.class == class).map(|count| count.count).sum()
}

pub(super) async fn an_evaluation_replaces_the_one_before_and_keeps_since(backend: Backend) {
    let store = backend.open().await;
    let first = found("a", 1, NOON, vec![no_key(1, "/app/a"), no_key(1, "/app/b"), no_key(1, "")]);
    let changes = store.coverage.record(&first).await.unwrap();
    assert_eq!(names(&changes.new), ["", "/app/a", "/app/b"]);
    assert!(changes.changed.is_empty() && changes.resolved.is_empty());
    let before = findings(&store, &FindingFilter::default()).await;
    assert_eq!(before, changes.new);

    // The same evaluation again changes nothing.
    assert_eq!(store.coverage.record(&first).await.unwrap(), FindingChanges::default());

    let failed =
        Failure { remedy_document: Some("{}".into()), ..Failure::new(Reason::KeyDisabled, "it is disabled") };
    let explained = Finding {
        failure: Some(failed),
        changed_by: Some("arn:aws:iam::000000000001:user/x".into()),
        job: Some(JobId::new_v7()),
        other_rules: vec!["other".into()],
        exemption: Some("ticket 1".into()),
        current: Some(testing::KEY.parse().unwrap()),
        ..no_key(1, "/app/a")
    };
    // Another kind of finding is a new one.
    let other = finding(1, "/app/b", FindingKind::OtherKey, CoverageClass::OtherKey);
    let second = found("a", 1, NOON + 60, vec![explained.clone(), other.clone()]);
    let changes = store.coverage.record(&second).await.unwrap();
    assert_eq!(
        (names(&changes.new), names(&changes.changed)),
        (vec!["/app/b".into()], vec!["/app/a".into()])
    );
    assert_eq!(names(&changes.resolved), ["", "/app/b"]);
    let now = findings(&store, &FindingFilter::default()).await;
    assert_eq!(now[0], StoredFinding { finding: explained, ..before[1].clone() });
    assert_eq!((now[0].since, now[1].since, now.len()), (at(NOON), at(NOON + 60), 2));
    assert_ne!(now[1].id, before[2].id);
    assert_eq!(now[1].finding, other);

    // An evaluation that began earlier changes nothing.
    assert_eq!(store.coverage.record(&first).await.unwrap(), FindingChanges::default());
    assert_eq!(findings(&store, &FindingFilter::default()).await, now);
    assert_eq!(total(&store, CountedRules::Deciding, CoverageClass::NoKey).await, 2);
}

pub(super) async fn counts_add_up_by_rule_key_and_location(backend: Backend) {
    let store = backend.open().await;
    let mut coverage = found("a", 1, NOON, vec![no_key(1, "/app/a")]);
    // Equal rows are added up.
    coverage.counts.push(count(None, CoverageClass::Compliant, 5));
    coverage.counts.push(count(Some("pci"), CoverageClass::Conflict, 7));
    store.coverage.record(&coverage).await.unwrap();
    store.coverage.record(&found("a", 2, NOON, Vec::new())).await.unwrap();
    store.coverage.record(&found("b", 3, NOON, Vec::new())).await.unwrap();
    assert_eq!(total(&store, CountedRules::Deciding, CoverageClass::Compliant).await, 35);
    assert_eq!(total(&store, CountedRules::Each, CoverageClass::Compliant).await, 30);
    assert_eq!(total(&store, CountedRules::Only("pci"), CoverageClass::Conflict).await, 7);
    assert_eq!(total(&store, CountedRules::Only("none"), CoverageClass::Conflict).await, 0);

    let tenant = CoverageFilter { tenant: Some("a".parse().unwrap()), ..CoverageFilter::default() };
    let counts = store.coverage.counts(&tenant, CountedRules::Deciding, true).await.unwrap();
    let with_key: u64 = counts.iter().filter(|it| it.key.is_some()).map(|it| it.count).sum();
    assert_eq!((with_key, counts.iter().map(|it| it.count).sum::<u64>()), (25, 26));
    assert!(counts.iter().all(|count| count.at.tenant.as_str() == "a" && count.rule.is_none()));
    let account =
        CoverageFilter { account: Some("000000000003".parse().unwrap()), ..CoverageFilter::default() };
    assert_eq!(store.coverage.locations(&account).await.unwrap()[0].at, tenant_location("b", 3));
    let elsewhere =
        CoverageFilter { region: Some("us-east-1".parse().unwrap()), ..CoverageFilter::default() };
    assert!(store.coverage.locations(&elsewhere).await.unwrap().is_empty());
    let totals = store.coverage.totals().await.unwrap();
    assert_eq!((totals.resources.0, totals.findings), ([35, 0, 1, 0, 0, 0, 0, 0], 1));
}

pub(super) async fn an_unreadable_location_keeps_its_numbers_and_says_why(backend: Backend) {
    let store = backend.open().await;
    store.coverage.record(&found("a", 1, NOON, vec![no_key(1, "/app/a")])).await.unwrap();
    let before = findings(&store, &FindingFilter::default()).await;
    let failed = unreadable("a", 1, NOON + 60);
    assert_eq!(store.coverage.record(&failed).await.unwrap(), FindingChanges::default());
    store.coverage.record(&unreadable("a", 2, NOON + 60)).await.unwrap();
    let [known, never] =
        store.coverage.locations(&CoverageFilter::default()).await.unwrap().try_into().unwrap();
    assert_eq!((known.known_as_of, known.failure), (Some(at(NOON)), failed.failure.clone()));
    assert_eq!((never.known_as_of, never.failure), (None, failed.failure));
    assert_eq!(findings(&store, &FindingFilter::default()).await, before);
    assert_eq!(total(&store, CountedRules::Deciding, CoverageClass::Compliant).await, 10);
    let [today] = store.coverage.history(None, None, at(0)).await.unwrap().try_into().unwrap();
    assert_eq!((today.failed_locations, today.counts.0[0]), (2, 10));

    store.coverage.record(&found("a", 1, NOON + 120, Vec::new())).await.unwrap();
    let [known, _] = store.coverage.locations(&CoverageFilter::default()).await.unwrap().try_into().unwrap();
    assert_eq!((known.known_as_of, known.failure), (Some(at(NOON + 120)), None));
    assert!(findings(&store, &FindingFilter::default()).await.is_empty());
}

pub(super) async fn findings_are_listed_in_order_and_by_every_filter(backend: Backend) {
    let store = backend.open().await;
    let exempt = finding(1, "/app/c", FindingKind::Exempt, CoverageClass::Exempt);
    let other_rule = Finding { rule: Some("pci".into()), ..no_key(1, "/app/b") };
    let list = vec![no_key(1, "/app/b"), other_rule, exempt, no_key(1, "/app/B")];
    store.coverage.record(&found("b", 1, NOON, list)).await.unwrap();
    store.coverage.record(&found("a", 1, NOON, vec![no_key(1, "/app/b")])).await.unwrap();
    store.coverage.record(&found("a", 2, NOON, vec![no_key(2, "/app/a")])).await.unwrap();
    let all = findings(&store, &FindingFilter::default()).await;
    let expected = ["/app/B", "/app/b", "/app/b", "/app/b", "/app/c", "/app/a"];
    assert_eq!(names(&all), expected);
    let tenants: Vec<&str> = all.iter().map(|found| found.tenant.as_str()).collect();
    assert_eq!(tenants, ["b", "a", "b", "b", "b", "a"]);
    let of_b = FindingFilter {
        locations: CoverageFilter { tenant: Some("b".parse().unwrap()), ..CoverageFilter::default() },
        ..FindingFilter::default()
    };
    for filter in [FindingFilter::default(), of_b.clone()] {
        let mut read: Vec<StoredFinding> = Vec::new();
        while let [found] =
            &*store.coverage.findings(&filter, &window(read.last().map(StoredFinding::key), 1)).await.unwrap()
        {
            read.push(found.clone());
        }
        assert_eq!(read, findings(&store, &filter).await);
        let third = FindingWindow { after: Some(read[0].key()), skip: 1, limit: 1 };
        assert_eq!(store.coverage.findings(&filter, &third).await.unwrap(), read[2..3]);
    }
    assert_eq!(findings(&store, &of_b).await.len(), 4);
    let pci = FindingFilter { rule: Some("pci".into()), ..FindingFilter::default() };
    assert_eq!(findings(&store, &pci).await.len(), 1);
    let kinds = FindingFilter { kinds: vec![FindingKind::Exempt], ..of_b };
    assert_eq!(names(&findings(&store, &kinds).await), ["/app/c"]);
    let account =
        CoverageFilter { account: Some("000000000002".parse().unwrap()), ..CoverageFilter::default() };
    let account = FindingFilter { locations: account, ..FindingFilter::default() };
    assert_eq!(names(&findings(&store, &account).await), ["/app/a"]);
}

pub(super) async fn the_history_has_one_point_a_day_with_all_locations(backend: Backend) {
    let store = backend.open().await;
    let history = async || store.coverage.history(None, None, at(0)).await.unwrap();
    store.coverage.record(&found("a", 1, NOON, Vec::new())).await.unwrap();
    store.coverage.record(&found("a", 2, NOON, Vec::new())).await.unwrap();
    store.coverage.record(&found("a", 1, NOON + 60, vec![no_key(1, "/app/a")])).await.unwrap();
    let first = history().await;
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].day, first[0].counts.0[0], first[0].counts.0[2]), (at(20_000 * DAY), 20, 1));

    // The first evaluation of the next day begins it with the other locations as they are known.
    store
        .coverage
        .record(&found("a", 2, NOON + DAY, vec![no_key(2, "/app/a"), no_key(2, "/app/b")]))
        .await
        .unwrap();
    let [yesterday, today] = history().await.try_into().unwrap();
    assert_eq!(yesterday, first[0]);
    assert_eq!((today.counts.0[0], today.counts.0[2]), (20, 3));
    let own = Some([location(2)].to_vec());
    let tenant = "a".parse().unwrap();
    let of_two = store.coverage.history(Some(&tenant), own.as_deref(), at(NOON + DAY)).await.unwrap();
    assert_eq!(of_two.iter().map(|day| (day.counts.0[0], day.counts.0[2])).collect::<Vec<_>>(), [(10, 2)]);
    assert!(store.coverage.history(Some(&tenant), Some(&[]), at(0)).await.unwrap().is_empty());

    store.coverage.delete_history(at(NOON + DAY)).await.unwrap();
    assert_eq!(history().await, [today]);
}

pub(super) async fn what_no_longer_exists_is_deleted(backend: Backend) {
    let store = backend.open().await;
    let pci = Finding { rule: Some("pci".into()), ..no_key(1, "/app/a") };
    let mut both = found("a", 1, NOON, vec![no_key(1, "/app/a"), pci]);
    both.counts.push(count(Some("pci"), CoverageClass::NoKey, 1));
    store.coverage.record(&both).await.unwrap();
    store.coverage.record(&found("a", 2, NOON, vec![no_key(2, "/app/a")])).await.unwrap();
    store.coverage.record(&found("b", 1, NOON, vec![no_key(1, "/app/a")])).await.unwrap();

    let changes = store.coverage.delete_rule(&"a".parse().unwrap(), "pci").await.unwrap();
    assert_eq!(
        changes.resolved.iter().map(|it| it.finding.rule.as_deref()).collect::<Vec<_>>(),
        [Some("pci")]
    );
    assert_eq!(total(&store, CountedRules::Only("pci"), CoverageClass::NoKey).await, 0);
    assert_eq!(total(&store, CountedRules::Only("all"), CoverageClass::Compliant).await, 30);

    let changes = store.coverage.retain(&[tenant_location("a", 1)]).await.unwrap();
    assert_eq!(changes.resolved.len(), 2);
    let left = store.coverage.locations(&CoverageFilter::default()).await.unwrap();
    assert_eq!(left.iter().map(|it| it.at.clone()).collect::<Vec<_>>(), [tenant_location("a", 1)]);
    assert_eq!(total(&store, CountedRules::Deciding, CoverageClass::Compliant).await, 10);
    assert_eq!(findings(&store, &FindingFilter::default()).await.len(), 1);
    let [day] = store.coverage.history(None, None, at(0)).await.unwrap().try_into().unwrap();
    assert_eq!(day.counts.0[0], 20, "the past of a tenant that exists stays");
    assert_eq!(store.coverage.retain(&[tenant_location("a", 1)]).await.unwrap(), FindingChanges::default());
}

pub(super) async fn concurrent_evaluations_of_a_location_leave_one_of_them(backend: Backend) {
    let store = backend.open().await;
    let record = |number: i64| {
        let (coverage, name) = (store.coverage.clone(), format!("/app/{number}"));
        tokio::spawn(
            async move { coverage.record(&found("a", 1, NOON + number, vec![no_key(1, &name)])).await },
        )
    };
    let (one, two) = (record(1), record(2));
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    let left = findings(&store, &FindingFilter::default()).await;
    assert_eq!(names(&left), ["/app/2"], "the later evaluation counts");
    let opened = one.new.len() + two.new.len();
    let closed = one.resolved.len() + two.resolved.len();
    assert_eq!(opened - closed, 1, "{one:?} {two:?}");
}
