//! Former keys, and whether a key can be deleted safely.

use logkey::{
    proto::{
        DeletionVerdict, GetKeyAssociationRequest, GetKeyUsageRequest, GetKeyUsageResponse, KeyFilter,
        KeyHealth, ListKeyAssociationsRequest, Protection, Source, get_key_association_request,
    },
    sandbox::{
        fault::{Effect, Fault},
        seed::{AccountSeed, KeySeed, LogGroupSeed, Seed},
    },
};
use tonic::{Code, Status};

use crate::harness::{ALL, Caller, GROUP, ORDERS, PAYMENTS, Plan, REGION, Service, key, reason, tenant};

const DAY: i64 = 86_400;

fn group(name: &str, key: Option<&str>, days: Option<i64>) -> LogGroupSeed {
    LogGroupSeed {
        name: name.into(),
        region: REGION.into(),
        retention_days: days,
        key: key.map(str::to_owned),
        ..LogGroupSeed::default()
    }
}

/// Changes the account without the service.
fn change_outside(service: &Service, with: impl FnOnce(AccountSeed) -> AccountSeed) {
    let account = AccountSeed { account_id: PAYMENTS.to_owned(), ..AccountSeed::default() };
    let seed = Seed { accounts: vec![with(account)], ..Seed::default() };
    service.sandbox.sandbox().apply(&seed).unwrap();
}

/// The default service over an account with additional resources.
async fn service_with(with: impl FnOnce(AccountSeed) -> AccountSeed) -> Service {
    let service = Service::start().await;
    change_outside(&service, with);
    service
}

async fn send(caller: &Caller, message: GetKeyUsageRequest) -> Result<GetKeyUsageResponse, Status> {
    caller.keys().get_key_usage(caller.request(message)).await.map(tonic::Response::into_inner)
}

async fn usage(caller: &Caller, key: &str) -> GetKeyUsageResponse {
    send(caller, GetKeyUsageRequest { kms_key_id: key.into(), ..Default::default() }).await.unwrap()
}

fn names(usage: &GetKeyUsageResponse) -> Vec<&str> {
    usage.uses.iter().map(|it| it.resource_arn.rsplit("log-group:").next().unwrap()).collect()
}

#[tokio::test]
async fn a_former_key_protects_data_until_the_retention_ends() {
    let service =
        service_with(|account| account.log_group_with(group("/payments/week", None, Some(7)))).await;
    let caller = service.caller("payments", ALL);
    caller.associate("/payments/week", &key("good")).await.unwrap();
    let used = usage(&caller, &key("good")).await;
    assert_eq!((used.verdict(), names(&used)), (DeletionVerdict::InUse, vec!["/payments/week"]));
    assert!(used.uses[0].in_use && used.safe_after.is_none());
    assert_eq!((used.uses[0].source(), used.key_health()), (Source::Live, KeyHealth::Usable));
    assert!(used.coverage.contains("all log groups were read"), "{}", used.coverage);
    assert!(used.known_as_of.is_some());

    let changed = caller.associate("/payments/week", &key("next")).await.unwrap();
    let accepted = changed.association.unwrap().accept_time.unwrap().seconds;
    let protecting = usage(&caller, &key("good")).await;
    assert_eq!(protecting.verdict(), DeletionVerdict::StillProtectsData);
    let until = accepted + 300 + 7 * DAY;
    assert_eq!(protecting.uses[0].protects_until_time.unwrap().seconds, until);
    assert_eq!(protecting.safe_after.unwrap().seconds, until);
    assert_eq!(protecting.uses[0].source(), Source::Recorded);

    let none = usage(&caller, &key("closed")).await;
    assert_eq!((none.verdict(), none.uses.len()), (DeletionVerdict::NoKnownUse, 0));
    assert_eq!(none.safe_after, none.known_as_of);
    service.stop().await;
}

#[tokio::test]
async fn former_keys_survive_a_restart_and_appear_in_reads() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    caller.associate(GROUP, &key("next")).await.unwrap();
    let removed = caller.disassociate(GROUP).await.unwrap();
    let codes: Vec<&str> = removed.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["FORMER_KEY_STILL_PROTECTS_DATA"; 2]);

    let service = service.restart().await;
    let caller = service.caller("payments", ALL);
    let target = get_key_association_request::Target::LogGroupName(GROUP.into());
    let message = GetKeyAssociationRequest { target: Some(target), ..Default::default() };
    let read = caller.keys().get_key_association(caller.request(message)).await.unwrap().into_inner();
    let former = read.association.unwrap().former_keys;
    let arns: Vec<String> = former.iter().map(|former| former.kms_key_arn.clone()).collect();
    assert_eq!(arns, [key("next"), key("good")]);
    // The log group has no retention, so the former keys protect data forever.
    assert!(former.iter().all(|it| it.protection() == Protection::Forever));
    assert_eq!(read.warnings.len(), 2);
    let used = usage(&caller, &key("good")).await;
    assert_eq!((used.verdict(), used.safe_after), (DeletionVerdict::StillProtectsData, None));
    assert!(used.coverage.contains("keep events indefinitely"), "{}", used.coverage);
    service.stop().await;
}

#[tokio::test]
async fn a_recreated_log_group_no_longer_needs_its_former_key() {
    let theirs =
        |key| move |account: AccountSeed| account.log_group_with(group("/payments/theirs", Some(key), None));
    let service = service_with(theirs("good")).await;
    // A list observes the key, and the observation survives a restart. Then the log group is recreated.
    service.caller("payments", ALL).list(ListKeyAssociationsRequest::default()).await.unwrap();
    let service = service.restart().await;
    let caller = service.caller("payments", ALL);
    let message = |page_token: &str| GetKeyUsageRequest {
        kms_key_id: key("good"),
        page_token: page_token.into(),
        ..Default::default()
    };
    let before = send(&caller, message("")).await.unwrap();
    assert_eq!((before.verdict(), names(&before)), (DeletionVerdict::InUse, vec!["/payments/theirs"]));
    change_outside(&service, theirs("next"));
    caller.get("/payments/theirs").await.unwrap();
    assert_eq!(names(&usage(&caller, &key("next")).await), ["/payments/theirs"]);
    let after = usage(&caller, &key("good")).await;
    assert_eq!((after.verdict(), after.uses.len()), (DeletionVerdict::NoKnownUse, 0));
    service.stop().await;
}

#[tokio::test]
async fn pages_hold_every_use_once_and_tokens_fit_one_tenant_and_key() {
    let groups = |account: AccountSeed| {
        (0..7).fold(account, |account, n| {
            account.log_group_with(group(&format!("/payments/n{n}"), Some("good"), None))
        })
    };
    let service = service_with(groups).await;
    let caller = service.caller("payments", ALL);
    let (mut received, mut page_token) = (Vec::new(), String::new());
    let mut tokens = Vec::new();
    loop {
        let message =
            GetKeyUsageRequest { kms_key_id: key("good"), page_size: 3, page_token, ..Default::default() };
        let page = send(&caller, message).await.unwrap();
        assert_eq!(page.verdict(), DeletionVerdict::InUse);
        assert!(page.uses.len() <= 3);
        received.extend(page.uses.into_iter().map(|it| it.resource_arn));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        tokens.push(page_token.clone());
    }
    assert_eq!(received.len(), 7);
    assert!(received.is_sorted() && received.windows(2).all(|pair| pair[0] != pair[1]));
    let with = |kms_key_id: &str| GetKeyUsageRequest {
        kms_key_id: kms_key_id.into(),
        page_token: tokens[0].clone(),
        ..Default::default()
    };
    let theirs = key("good").replace(PAYMENTS, ORDERS);
    let orders = service.caller("orders", ALL);
    for refused in [send(&caller, with(&key("next"))).await, send(&orders, with(&theirs)).await] {
        let status = refused.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "FIELD_INVALID".into()));
    }
    service.stop().await;
}

#[tokio::test]
async fn usage_does_not_reveal_hidden_groups_or_keys_of_other_tenants() {
    let hidden = |account: AccountSeed| {
        account.log_group_with(group("/secret/one", Some("good"), None)).log_group_with(group(
            "/payments/two",
            Some("good"),
            None,
        ))
    };
    let service = service_with(hidden).await;
    let caller = service.caller("payments", ALL);
    let used = usage(&caller, &key("good")).await;
    assert_eq!(names(&used), ["/payments/two"]);

    // Another tenant's key and a missing key get the same message.
    let described = |status: &Status, key: &str, account: &str| {
        let message = status.message().replace(key, "KEY").replace(account, "ACCOUNT");
        (status.code(), reason(status), message)
    };
    let refused = async |key: &str| {
        let message = GetKeyUsageRequest { kms_key_id: key.into(), ..Default::default() };
        send(&caller, message).await.unwrap_err()
    };
    let foreign = key("good").replace(PAYMENTS, ORDERS);
    let unknown_account = key("good").replace(PAYMENTS, "999999999999");
    let absent = key("00000000-0000-4000-8000-000000000000");
    let theirs = described(&refused(&foreign).await, &foreign, ORDERS);
    assert_eq!(theirs.1, "KEY_NOT_FOUND");
    let of_unknown = refused(&unknown_account).await;
    assert_eq!(described(&of_unknown, &unknown_account, "999999999999"), theirs);
    assert_eq!(described(&refused(&absent).await, &absent, PAYMENTS), theirs);
    let reader = service.caller("payments", "logkey:associate");
    let message = GetKeyUsageRequest { kms_key_id: key("good"), ..Default::default() };
    assert_eq!(reason(&send(&reader, message).await.unwrap_err()), "SCOPE_MISSING");
    service.stop().await;
}

#[tokio::test]
async fn an_alias_and_a_bare_id_resolve_to_their_key_in_the_audit_log() {
    let aliased = |account: AccountSeed| {
        account.key_with(KeySeed {
            id: "named".into(),
            region: REGION.into(),
            aliases: vec!["alias/payments".into()],
            ..KeySeed::default()
        })
    };
    let service = service_with(aliased).await;
    let caller = service.caller("payments", ALL);
    for named in ["alias/payments", "named", &*key("named")] {
        assert_eq!(usage(&caller, named).await.kms_key_arn, key("named"), "{named}");
    }
    let service = service.restart().await;
    let events = service.events().await;
    let described: Vec<_> = events.iter().filter(|event| event.action == "GetKeyUsage").collect();
    assert_eq!(described.len(), 3);
    assert!(described.iter().all(|event| event.kind == "read" && event.resolved_key == Some(key("named"))));
    service.stop().await;
}

#[tokio::test]
async fn the_usage_scan_reads_every_log_group_of_an_account() {
    let many = |aws: logkey::sandbox::builder::Builder| {
        aws.account("777788889999", |account| {
            account
                .role("LogKeyAssociator", "many-external-id")
                .key(REGION, "good", "allow-both")
                .log_group_with(LogGroupSeed { count: Some(1_200), ..group("/many/{n}", Some("good"), None) })
        })
    };
    let limits = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let generous = "[limits.upstream]\ndescribe_per_second = 1000\n";
    let plan = Plan::default().aws(many).settings(generous).tenants(&tenant("many", "777788889999", limits));
    let service = plan.start().await;
    let caller = service.caller("many", ALL);
    let arn = key("good").replace(PAYMENTS, "777788889999");
    let message = GetKeyUsageRequest { kms_key_id: arn, page_size: 500, ..Default::default() };
    let first = send(&caller, message).await.unwrap();
    assert_eq!((first.uses.len(), first.verdict()), (500, DeletionVerdict::InUse));
    assert!(first.coverage.contains("all log groups were read"), "{}", first.coverage);
    service.stop().await;
}

#[tokio::test]
async fn what_could_not_be_read_makes_the_verdict_incomplete() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let refused = r#"{"error": {"code": "AccessDeniedException", "message": "no", "status": 400}}"#;
    let effect = serde_json::from_str(refused).unwrap();
    service.sandbox.sandbox().fault(Fault::on("DescribeLogGroups", effect));
    let unread = usage(&caller, &key("closed")).await;
    assert_eq!((unread.verdict(), unread.safe_after), (DeletionVerdict::Incomplete, None), "{unread:?}");
    assert!(unread.coverage.contains("could not be read"), "{}", unread.coverage);
    service.sandbox.sandbox().clear_faults();
    assert_eq!(usage(&caller, &key("closed")).await.verdict(), DeletionVerdict::NoKnownUse);
    service.stop().await;
}

#[tokio::test]
async fn the_record_never_begins_later_than_a_use_in_the_same_answer() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let used = usage(&caller, &key("good")).await;
    let seconds = used.uses[0].first_seen_time.unwrap().seconds;
    let begins = used.coverage.split("the record of former keys there begins at ").nth(1).unwrap();
    let begins: jiff::Timestamp =
        begins.split([',', ' ']).next().unwrap().trim_end_matches('.').parse().unwrap();
    assert!(begins.as_second() <= seconds, "{}", used.coverage);
    service.stop().await;
}

#[tokio::test]
async fn a_list_finds_log_groups_with_an_unhealthy_key() {
    let with_keys = |account: AccountSeed| {
        let key = |id: &str, state: &str| KeySeed {
            id: id.into(),
            region: REGION.into(),
            state: Some(state.into()),
            ..KeySeed::default()
        };
        account
            .key_with(key("off", "Disabled"))
            .key_with(key("going", "PendingDeletion"))
            .log_group_with(group("/payments/off", Some("off"), None))
            .log_group_with(group("/payments/going", Some("going"), None))
            .log_group_with(group("/payments/well", Some("good"), None))
    };
    let service = service_with(with_keys).await;
    let caller = service.caller("payments", ALL);
    let message =
        ListKeyAssociationsRequest { key_filter: KeyFilter::KeyUnhealthy.into(), ..Default::default() };
    let found = caller.list(message.clone()).await.unwrap().associations;
    let described: Vec<(&str, KeyHealth)> =
        found.iter().map(|it| (it.resource_arn.rsplit('/').next().unwrap(), it.key_health())).collect();
    assert_eq!(described, [("going", KeyHealth::PendingDeletion), ("off", KeyHealth::Disabled)]);
    assert!(found[0].key_deletion_time.is_some());
    // A key that could not be checked may be unhealthy too.
    service.sandbox.sandbox().fault(Fault::on("DescribeKey", Effect::Throttle));
    let found = caller.list(message).await.unwrap().associations;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|it| it.key_health() == KeyHealth::NotChecked), "{found:?}");
    service.sandbox.sandbox().clear_faults();
    let target = get_key_association_request::Target::LogGroupName("/payments/going".into());
    let message = GetKeyAssociationRequest { target: Some(target), ..Default::default() };
    let read = caller.keys().get_key_association(caller.request(message)).await.unwrap().into_inner();
    assert_eq!(read.warnings[0].code, "KEY_PENDING_DELETION");
    service.stop().await;
}

#[tokio::test]
async fn the_recorded_key_of_query_results_counts_as_in_use() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let results = format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*");
    caller.associate_arn(&results, &key("good")).await.unwrap();
    let used = usage(&caller, &key("good")).await;
    assert_eq!((used.verdict(), used.uses.len()), (DeletionVerdict::InUse, 1));
    assert_eq!((used.uses[0].resource_arn.as_str(), used.uses[0].source()), (&*results, Source::Recorded));
    service.stop().await;
}
