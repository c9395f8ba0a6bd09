//! The key of query results, verified with queries through the real SDK.

use std::time::{Duration, Instant};

use logkey::{
    proto::{
        CheckKeyAssociationRequest, GetKeyAssociationRequest, KeyAssociation, Source,
        check_key_association_request, get_key_association_request,
    },
    sandbox::{
        fault::{Effect, Fault},
        seed::{AccountSeed, RoleSeed, Seed},
    },
};

mod change;

use crate::harness::{ALL, Caller, Plan, REGION, Service, tenant};

const ACCOUNT: &str = "222233334444";
const GROUP: &str = "/payments/api";
const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

fn results() -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*")
}

fn key(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}")
}

/// A service that verifies the query results of an account with these resources.
async fn start(with: impl FnOnce(AccountSeed) -> AccountSeed) -> Service {
    let tenants = tenant("payments", ACCOUNT, LIMITS)
        .replace("query_results = true", "query_results = true\nverify_query_results = true");
    let keys =
        |account: AccountSeed| account.key(REGION, "good", "allow-both").key(REGION, "other", "allow-both");
    let plan = Plan::default().tenants(&tenants);
    plan.aws(|aws| aws.account(ACCOUNT, |account| with(keys(account)))).start().await
}

fn default_resources(account: AccountSeed) -> AccountSeed {
    account.role("LogKeyAssociator", "payments-external-id").log_group(REGION, GROUP)
}

/// A role with these permissions.
fn role(permissions: &[&str]) -> RoleSeed {
    RoleSeed {
        name: "LogKeyAssociator".into(),
        external_id: Some("payments-external-id".into()),
        permissions: Some(permissions.iter().map(|it| (*it).to_owned()).collect()),
        ..RoleSeed::default()
    }
}

/// Sets the key of query results without the service.
fn set_key_outside(service: &Service, id: &str) {
    let mut account = AccountSeed { account_id: ACCOUNT.into(), ..AccountSeed::default() };
    account.query_results.insert(REGION.into(), id.into());
    let seed = Seed { accounts: vec![account], ..Seed::default() };
    service.sandbox.sandbox().apply(&seed).unwrap();
}

async fn get(caller: &Caller, within: Duration) -> KeyAssociation {
    let target = get_key_association_request::Target::ResourceIdentifier(results());
    let message = GetKeyAssociationRequest { target: Some(target), ..Default::default() };
    let mut request = caller.request(message);
    request.set_timeout(within);
    caller.keys().get_key_association(request).await.unwrap().into_inner().association.unwrap()
}

const LONG_TIMEOUT: Duration = Duration::from_secs(10);

/// The detail in the audit event of the last read.
async fn detail(service: &Service, caller: &Caller) -> String {
    // The change is durable only after the reads before it.
    caller.associate(GROUP, &key("good")).await.unwrap();
    let events = service.events().await;
    let mut reads = events.iter().filter(|event| event.action == "GetKeyAssociation");
    reads.next_back().unwrap().detail.clone().unwrap_or_default()
}

#[tokio::test]
async fn a_query_verifies_the_key_and_finds_a_key_set_by_others() {
    let service = start(|account| default_resources(account).queries(2, "Complete")).await;
    let caller = service.caller("payments", ALL);
    let found = get(&caller, LONG_TIMEOUT).await;
    assert_eq!((found.source(), found.kms_key_arn.as_str()), (Source::Live, ""));
    set_key_outside(&service, "other");
    let found = get(&caller, LONG_TIMEOUT).await;
    assert_eq!((found.source(), found.kms_key_arn), (Source::Live, key("other")));
    let [first, _] = &service.reached("StartQuery")[..] else { panic!() };
    assert_eq!((&first.params["logGroupName"], &first.params["limit"]), (&GROUP.into(), &1.into()));
    let span = |field: &str| first.params[field].as_i64().unwrap();
    assert_eq!(span("endTime") - span("startTime"), 1);
    assert_eq!(
        service.reached("GetQueryResults").len(),
        6,
        "for each query, two polls find it running and one finds its end"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_key_set_by_the_service_is_verified_also_in_a_check() {
    let service = start(default_resources).await;
    let caller = service.caller("payments", ALL);
    caller.associate_arn(&results(), &key("good")).await.unwrap();
    let found = get(&caller, LONG_TIMEOUT).await;
    assert_eq!((found.source(), found.kms_key_arn), (Source::Live, key("good")));
    let message = CheckKeyAssociationRequest {
        target: Some(check_key_association_request::Target::ResourceIdentifier(results())),
        kms_key_id: key("good"),
        ..CheckKeyAssociationRequest::default()
    };
    let response = caller.keys().check_key_association(caller.request(message)).await.unwrap().into_inner();
    let current = response.checks.iter().find(|check| check.name == "CURRENT_ASSOCIATION").unwrap();
    assert!(current.detail.contains("a query shows"), "{current:?}");
    // Right after a change, AWS may still use the other key. This is not drift.
    set_key_outside(&service, "other");
    let found = get(&caller, LONG_TIMEOUT).await;
    assert_eq!((found.source(), found.kms_key_arn), (Source::Recorded, key("good")));
    service.stop().await;
}

#[tokio::test]
async fn without_query_permissions_the_record_is_returned() {
    let may = [
        "logs:DescribeLogGroups",
        "logs:AssociateKmsKey",
        "kms:*",
        "logs:StartQuery",
        "logs:GetQueryResults",
    ];
    for (permissions, reached) in [(&may[..3], 0), (&may[..4], 1)] {
        let role = role(permissions);
        let service = start(|account| account.role_with(role).log_group(REGION, GROUP)).await;
        let caller = service.caller("payments", ALL);
        set_key_outside(&service, "other");
        let found = get(&caller, LONG_TIMEOUT).await;
        assert_eq!((found.source(), found.kms_key_arn.as_str()), (Source::Recorded, ""), "{permissions:?}");
        assert_eq!(service.reached("GetQueryResults").len(), reached);
        let reason = detail(&service, &caller).await;
        assert!(reason.contains("AccessDeniedException"), "{reason}");
        service.stop().await;
    }
}

#[tokio::test]
async fn without_kms_decrypt_the_record_is_returned() {
    // Someone else set a key that the tenant may not use.
    let other = |account: AccountSeed| account.key(REGION, "theirs", "allow-both");
    let tenants = tenant("payments", ACCOUNT, LIMITS)
        .replace("query_results = true", "query_results = true\nverify_query_results = true")
        .replace("key/*", "key/good");
    let plan = Plan::default().tenants(&tenants);
    let plan = plan.aws(|aws| {
        aws.account(ACCOUNT, |account| default_resources(other(account.key(REGION, "good", "allow-both"))))
    });
    let service = plan.start().await;
    set_key_outside(&service, "theirs");
    let caller = service.caller("payments", ALL);
    assert_eq!(get(&caller, LONG_TIMEOUT).await.source(), Source::Recorded);
    let reason = detail(&service, &caller).await;
    assert!(reason.contains("kms:Decrypt"), "{reason}");
    service.stop().await;
}

#[tokio::test]
async fn without_a_visible_log_group_no_query_runs() {
    let bare = |account: AccountSeed| {
        account.role("LogKeyAssociator", "payments-external-id").log_group(REGION, "/orders/api")
    };
    let service = start(bare).await;
    let caller = service.caller("payments", ALL);
    assert_eq!(get(&caller, LONG_TIMEOUT).await.source(), Source::Recorded);
    assert_eq!(service.reached("StartQuery").len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_query_that_does_not_end_leaves_time_for_the_response() {
    let service = start(|account| default_resources(account).queries(u32::MAX, "Complete")).await;
    let caller = service.caller("payments", ALL);
    let started = Instant::now();
    let within = Duration::from_secs(2);
    assert_eq!(get(&caller, within).await.source(), Source::Recorded);
    assert!(started.elapsed() < within);
    assert!(service.reached("GetQueryResults").len() > 1);
    let reason = detail(&service, &caller).await;
    assert!(reason.contains("did not end in time"), "{reason}");
    service.stop().await;
}

#[tokio::test]
async fn after_a_failed_query_the_record_is_returned() {
    let service = start(|account| default_resources(account).queries(1, "Failed")).await;
    let caller = service.caller("payments", ALL);
    assert_eq!(get(&caller, LONG_TIMEOUT).await.source(), Source::Recorded);
    let reason = detail(&service, &caller).await;
    assert!(reason.contains("Failed"), "{reason}");
    service.stop().await;
}

#[tokio::test]
async fn throttled_query_calls_are_retried() {
    let service = start(default_resources).await;
    let caller = service.caller("payments", ALL);
    for operation in ["StartQuery", "GetQueryResults"] {
        service.sandbox.sandbox().fault(Fault::on(operation, Effect::Throttle).times(2));
    }
    assert_eq!(get(&caller, LONG_TIMEOUT).await.source(), Source::Live);
    let reached = |operation: &str| service.reached(operation).len();
    assert_eq!((reached("StartQuery"), reached("GetQueryResults")), (3, 3));
    service.stop().await;
}
