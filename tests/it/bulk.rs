//! Bulk jobs, from a real client to the embedded AWS and back.

pub(crate) mod client;
mod control;
mod input;
mod recovery;

use logkey::{
    proto::{
        BulkItemState, BulkPauseReason, BulkState, CreateBulkAssociationRequest, CurrentKey, Selection,
        create_bulk_association_request::Change,
    },
    sandbox::{builder::Builder, seed::AccountSeed},
};
use tonic::Code;

use self::client::{ItemExt as _, JobCaller, key_choice, patterns};
use crate::harness::{ORDERS, PAYMENTS, Plan, REGION, Service, key, reason, tenant};

pub(crate) const BULK: &str =
    "logkey:read logkey:associate logkey:disassociate logkey:query-results logkey:bulk";
const GENEROUS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
pub(crate) const OTHER: &str = "777788889999";

/// Adds so many log groups of the tenant `payments`.
pub(crate) fn groups(account: AccountSeed, prefix: &str, count: usize) -> AccountSeed {
    (0..count).fold(account, |account, n| account.log_group(REGION, &format!("/payments/{prefix}-{n:03}")))
}

/// A tenant with two accounts; each has these groups.
pub(crate) fn two_accounts(count: usize) -> Plan {
    let more = move |aws: Builder| {
        aws.account(OTHER, |account| {
            let account =
                account.role("LogKeyAssociator", "payments-external-id").key(REGION, "other", "allow-both");
            groups(account, "b", count)
        })
    };
    let account = |id: &str| {
        format!(
            "[[tenants.accounts]]\naccount_id = \"{id}\"\nrole_arn = \"arn:aws:iam::{id}:role/LogKeyAssociator\"\n\
             external_id = \"payments-external-id\"\nregions = [\"{REGION}\"]\nlog_groups = [\"/payments/*\"]\n\
             kms_keys = [\"arn:aws:kms:*:{id}:key/*\"]\nquery_results = true\n"
        )
    };
    let payments = tenant("payments", PAYMENTS, GENEROUS) + &account(OTHER);
    Plan::with_resources(move |account| groups(account, "a", count))
        .aws(more)
        .tenants(&(payments + &tenant("orders", ORDERS, GENEROUS)))
}

#[tokio::test]
async fn a_job_is_planned_started_and_leaves_every_group_under_its_key() {
    let service = Plan::with_resources(|it| groups(it, "a", 120)).start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let created = jobs.create(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    assert_eq!(created.state(), BulkState::Planning);
    let planned = jobs.wait(&created.id, |job| job.state() == BulkState::Planned).await;
    let counts = planned.counts.unwrap();
    assert_eq!((counts.total, counts.waiting, counts.overriding), (120, 120, 0));
    assert!(planned.expected_end_time.is_some() && planned.locations.len() == 1);
    assert_eq!(service.reached("AssociateKmsKey").len(), 0, "a plan changes nothing");

    let etag = planned.etag.clone();
    assert_eq!(jobs.start(&created.id, "0").await.unwrap_err().code(), Code::Aborted);
    jobs.start(&created.id, &etag).await.unwrap();
    let ended = jobs.wait_for_end(&created.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 120));
    let aws = service.sandbox.sandbox();
    for n in 0..120 {
        let name = format!("/payments/a-{n:03}");
        assert_eq!(aws.log_group_key(PAYMENTS, REGION, &name), Some(key("good")), "{name}");
    }
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, "/payments/api"), None, "it is not selected");
    assert_eq!(service.reached("AssociateKmsKey").len(), 120);
    let items = jobs.items(&created.id, &[]).await;
    assert_eq!(items.len(), 120);
    assert!(items.iter().all(|item| !item.audit_event_id.is_empty() && item.attempts == 1));

    let again = jobs.create_started(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    let ended = jobs.wait_for_end(&again.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().unchanged), (BulkState::Succeeded, 120));
    assert_eq!(service.reached("AssociateKmsKey").len(), 120, "nothing is sent twice");

    let events = service.events().await;
    let of_job = events.iter().filter(|event| event.job.as_deref() == Some(&*created.id));
    let intents = of_job.clone().filter(|event| event.kind == "intent").count();
    let outcomes = of_job.filter(|event| event.kind == "outcome" && event.closes.is_some()).count();
    assert_eq!((intents, outcomes), (120, 120), "each item is an ordinary change in the audit log");
    service.stop().await;
}

#[tokio::test]
async fn a_plan_reports_what_it_cannot_enter_and_blocks_what_would_fail() {
    let plan =
        two_accounts(3).aws(|aws| aws.account("222233334444", |account| account.role("Other", "unknown")));
    let third = "[[tenants.accounts]]\naccount_id = \"222233334444\"\n\
        role_arn = \"arn:aws:iam::222233334444:role/LogKeyAssociator\"\nexternal_id = \"payments-external-id\"\n\
        regions = [\"eu-west-1\"]\nlog_groups = [\"/payments/*\"]\nkms_keys = [\"*\"]\n";
    let account = format!(
        "[[tenants.accounts]]\naccount_id = \"{OTHER}\"\nrole_arn = \"arn:aws:iam::{OTHER}:role/LogKeyAssociator\"\n\
         external_id = \"payments-external-id\"\nregions = [\"{REGION}\"]\nlog_groups = [\"/payments/*\"]\n\
         kms_keys = [\"arn:aws:kms:*:{OTHER}:key/*\"]\n"
    );
    let service = plan.tenants(&(tenant("payments", PAYMENTS, GENEROUS) + &account + third)).start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    // The key exists in one account only.
    let created = jobs.create_started(key_choice("good"), patterns(&["/payments/*"])).await.unwrap();
    let ended = jobs.wait_for_end(&created.id).await;
    assert_eq!(ended.state(), BulkState::CompletedWithFailures);
    let [one, unreachable, two] = ended.locations.try_into().unwrap();
    assert_eq!((one.account_id.as_str(), one.error), (PAYMENTS, None));
    let error = unreachable.error.unwrap();
    assert_eq!((error.reason.as_str(), unreachable.counts.unwrap().total), ("ROLE_NOT_ASSUMABLE", 0));
    assert!(error.message.contains("trust policy"), "{}", error.message);
    assert_eq!(two.counts.unwrap().blocked, 3);
    let blocked = jobs.items(&created.id, &[BulkItemState::Blocked]).await;
    assert!(blocked.iter().all(|item| item.reason == "KEY_NOT_FOUND" && item.account_id == OTHER));
    assert_eq!(
        service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, "/payments/a-002"),
        Some(key("good"))
    );

    let closed =
        jobs.create_started(key_choice(&key("closed")), patterns(&["/payments/a-002"])).await.unwrap();
    let ended = jobs.wait_for_end(&closed.id).await;
    assert_eq!(ended.counts.unwrap().blocked, 1);
    let [item] = jobs.items(&closed.id, &[]).await.try_into().unwrap();
    assert_eq!(item.reason, "KEY_POLICY_LACKS_LOGS_SERVICE");
    assert!(item.remedy_document.contains("logs.eu-west-1.amazonaws.com"), "{}", item.remedy_document);
    assert_eq!(
        service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, "/payments/a-002"),
        Some(key("good"))
    );
    service.stop().await;
}

#[tokio::test]
async fn a_job_does_only_what_it_planned() {
    let service = Plan::with_resources(|it| groups(it, "a", 4)).start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let created = jobs.create(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    jobs.wait(&created.id, |job| job.state() == BulkState::Planned).await;
    let caller = service.caller("payments", BULK);
    caller.associate("/payments/a-000", &key("next")).await.unwrap();
    caller.associate("/payments/a-001", &key("good")).await.unwrap();
    jobs.start(&created.id, "").await.unwrap();
    let ended = jobs.wait_for_end(&created.id).await;
    let counts = ended.counts.unwrap();
    assert_eq!((counts.skipped, counts.unchanged, counts.succeeded), (1, 1, 2));
    assert_eq!(ended.state(), BulkState::CompletedWithFailures);
    let [skipped] = jobs.items(&created.id, &[BulkItemState::Skipped]).await.try_into().unwrap();
    assert_eq!((skipped.reason.as_str(), skipped.log_group()), ("EXPECTED_KEY_MISMATCH", "/payments/a-000"));
    assert!(skipped.message.contains(&key("next")), "{}", skipped.message);
    let aws = service.sandbox.sandbox();
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, "/payments/a-000"), Some(key("next")));
    service.stop().await;
}

#[tokio::test]
async fn a_revert_gives_each_changed_group_the_key_that_it_had() {
    let service = Plan::with_resources(|it| groups(it, "a", 4)).start().await;
    let caller = service.caller("payments", BULK);
    caller.associate("/payments/a-000", &key("next")).await.unwrap();
    caller.associate("/payments/a-001", &key("good")).await.unwrap();
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create_started(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.counts.unwrap().succeeded, ended.counts.unwrap().overriding), (3, 1));
    caller.associate("/payments/a-003", &key("next")).await.unwrap();

    let revert = jobs.revert(&job.id).await.unwrap();
    assert_eq!((revert.revert_of.as_str(), revert.selection.is_none()), (job.id.as_str(), true));
    let ended = jobs.wait_for_end(&revert.id).await;
    let counts = ended.counts.unwrap();
    assert_eq!((counts.total, counts.succeeded, counts.skipped), (3, 2, 1), "{ended:?}");
    let aws = service.sandbox.sandbox();
    let now = |name: &str| aws.log_group_key(PAYMENTS, REGION, name);
    assert_eq!(now("/payments/a-000"), Some(key("next")));
    assert_eq!(now("/payments/a-001"), Some(key("good")), "the job did not change it");
    assert_eq!(now("/payments/a-002"), None);
    assert_eq!(now("/payments/a-003"), Some(key("next")), "somebody changed it since");
    service.stop().await;
}

#[tokio::test]
async fn selections_by_key_by_arn_and_query_results_are_applied() {
    let service = Plan::with_resources(|it| groups(it, "a", 3)).start().await;
    let caller = service.caller("payments", BULK);
    caller.associate("/payments/a-000", &key("next")).await.unwrap();
    caller.associate("/payments/a-001", &key("good")).await.unwrap();
    let jobs = JobCaller::new(&service, "payments", BULK);
    let totals = async |selection: Selection| {
        let job = jobs.create(key_choice(&key("good")), selection).await.unwrap();
        let planned = jobs.wait(&job.id, |job| job.state() == BulkState::Planned).await;
        jobs.cancel(&job.id).await.unwrap();
        planned.counts.unwrap().total
    };
    let with = |current_key: CurrentKey| Selection {
        current_key: current_key.into(),
        ..patterns(&["/payments/a-*"])
    };
    assert_eq!(totals(with(CurrentKey::Any)).await, 3);
    assert_eq!(totals(with(CurrentKey::WithoutKey)).await, 1);
    assert_eq!(totals(with(CurrentKey::WithOtherKey)).await, 2);
    assert_eq!(totals(with(CurrentKey::WithKey)).await, 2);
    let from_next = Selection { current_kms_key_id: "next".into(), ..with(CurrentKey::WithKey) };
    assert_eq!(totals(from_next).await, 1, "moving away from a key");
    let excluded = Selection { exclude_patterns: vec!["*-002".into()], ..with(CurrentKey::Any) };
    assert_eq!(totals(excluded).await, 2);
    let arn = |name: &str| format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:{name}");
    let named = Selection {
        resource_arns: vec![
            arn("/payments/a-002"),
            arn("/payments/gone"),
            arn("/shared/by-nobody"),
            format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*"),
        ],
        ..Selection::default()
    };
    let job = jobs.create_started(key_choice(&key("good")), named).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.resource_count, ended.selection.unwrap().resource_arns.len()), (4, 0));
    let counts = ended.counts.unwrap();
    assert_eq!((counts.succeeded, counts.blocked), (2, 2));
    let blocked = jobs.items(&job.id, &[BulkItemState::Blocked]).await;
    assert!(blocked.iter().all(|item| item.reason == "LOG_GROUP_NOT_FOUND"), "{blocked:?}");
    assert_eq!(service.sandbox.sandbox().query_results_key(PAYMENTS, REGION), Some(key("good")));
    service.stop().await;
}

#[tokio::test]
async fn a_job_of_another_tenant_does_not_exist_and_operators_see_all() {
    let service = Service::start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create(key_choice(&key("good")), patterns(&["/payments/*"])).await.unwrap();
    jobs.wait(&job.id, |job| job.state() == BulkState::Planned).await;

    let other = JobCaller::new(&service, "orders", BULK);
    for refused in [
        other.get(&job.id).await.unwrap_err(),
        other.start(&job.id, "").await.unwrap_err(),
        other.cancel(&job.id).await.unwrap_err(),
        other.try_items(&job.id).await.unwrap_err(),
        other.watch(&job.id).await.unwrap_err(),
        other.revert(&job.id).await.map(drop).unwrap_err(),
    ] {
        assert_eq!((refused.code(), reason(&refused)), (Code::NotFound, "BULK_ASSOCIATION_NOT_FOUND".into()));
        assert!(!refused.message().contains("payments"), "{}", refused.message());
    }
    assert_eq!(other.list("", &[]).await.unwrap().len(), 0);
    assert_eq!(other.list("payments", &[]).await.unwrap().len(), 0);

    let operator = JobCaller::new(&service, "orders", "logkey:admin");
    assert_eq!(operator.get(&job.id).await.unwrap().tenant_id, "payments");
    assert_eq!(operator.list("", &[]).await.unwrap().len(), 1);
    assert_eq!(operator.list("payments", &[BulkState::Planned]).await.unwrap().len(), 1);
    assert_eq!(operator.list("payments", &[BulkState::Running]).await.unwrap().len(), 0);
    let cancel = operator.cancel(&job.id).await.unwrap_err();
    assert_eq!(cancel.code(), Code::PermissionDenied, "an operator only reads");
    let reader = JobCaller::new(&service, "payments", "logkey:read");
    assert_eq!(reason(&reader.get(&job.id).await.unwrap_err()), "SCOPE_MISSING");
    let unscoped = JobCaller::new(&service, "payments", "logkey:bulk");
    let refused = unscoped.create(key_choice(&key("good")), patterns(&["*"])).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_MISSING");
    service.stop().await;
}

#[tokio::test]
async fn a_watch_shows_the_job_until_it_ends() {
    let service = Plan::with_resources(|it| groups(it, "a", 30)).start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create_started(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    let states = jobs.watch(&job.id).await.unwrap();
    let last = states.last().unwrap();
    assert_eq!((last.state(), last.counts.unwrap().succeeded), (BulkState::Succeeded, 30));
    assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "only changes are sent");
    service.stop().await;
}

#[tokio::test]
async fn a_selection_that_matches_nothing_is_a_job_that_says_so() {
    let service = Service::start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job =
        jobs.create_started(key_choice(&key("good")), patterns(&["/payments/nothing-*"])).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().total), (BulkState::Succeeded, 0));
    assert_eq!(ended.pause_reason(), BulkPauseReason::Unspecified);
    service.stop().await;
}

#[tokio::test]
async fn a_job_removes_keys_too() {
    let service = Plan::with_resources(|it| groups(it, "a", 3)).start().await;
    let caller = service.caller("payments", BULK);
    caller.associate("/payments/a-000", &key("next")).await.unwrap();
    let jobs = JobCaller::new(&service, "payments", BULK);
    let request = CreateBulkAssociationRequest {
        selection: Some(patterns(&["/payments/a-*"])),
        change: Some(Change::Disassociate(true)),
        start: true,
        ..Default::default()
    };
    let job = jobs.send(request).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.counts.unwrap().succeeded, ended.counts.unwrap().unchanged), (1, 2));
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, "/payments/a-000"), None);
    service.stop().await;
}
