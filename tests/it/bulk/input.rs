//! Requests that cannot become a job, and requests that are repeated.

use logkey::proto::{
    BulkState, CreateBulkAssociationRequest, CurrentKey, KeyChoice, KeyOverride,
    ListBulkAssociationItemsRequest, Safety, Selection, create_bulk_association_request::Change,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    BULK,
    client::{JobCaller, key_choice, patterns},
    groups,
};
use crate::harness::{PAYMENTS, Plan, Service, key, reason};

fn request(selection: Selection, change: Change) -> CreateBulkAssociationRequest {
    CreateBulkAssociationRequest {
        selection: Some(selection),
        change: Some(change),
        ..CreateBulkAssociationRequest::default()
    }
}

#[tokio::test]
async fn an_invalid_request_names_every_field_that_is_wrong() {
    let service = Service::start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let bad = request(
        Selection {
            account_ids: vec!["12".into()],
            regions: vec!["Dublin".into()],
            log_group_patterns: vec!["[a]".into()],
            current_kms_key_id: "alias/x".into(),
            ..Selection::default()
        },
        Change::Key(KeyChoice { kms_key_id: String::new(), overrides: vec![KeyOverride::default()] }),
    );
    let refused =
        jobs.send(CreateBulkAssociationRequest { request_id: "1".into(), ..bad }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, "FIELD_INVALID".into()));
    let fields: Vec<String> =
        refused.get_details_bad_request().unwrap().field_violations.into_iter().map(|it| it.field).collect();
    for field in [
        "selection.account_ids[0]",
        "selection.regions[0]",
        "selection.log_group_patterns[0]",
        "selection.current_kms_key_id",
        "key.overrides[0].account_id",
        "key.overrides[0].kms_key_id",
        "request_id",
    ] {
        assert!(fields.iter().any(|it| it == field), "{field} is missing in {fields:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn requests_that_cannot_work_are_refused_with_a_reason() {
    let service = Service::start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let good = || key_choice(&key("good"));
    let past = prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 };
    let window = Safety { end_time: Some(past), ..Safety::default() };
    let other_key = Selection { current_key: CurrentKey::WithOtherKey.into(), ..Selection::default() };
    let foreign = Selection { account_ids: vec!["444455556666".into()], ..Selection::default() };
    let region = Selection { regions: vec!["us-east-1".into()], ..Selection::default() };
    let arn = "arn:aws:logs:eu-west-1:444455556666:log-group:/x".to_owned();
    let foreign_arn = Selection { resource_arns: vec![arn.clone()], ..Selection::default() };
    let mixed = Selection { resource_arns: vec![arn.clone()], ..patterns(&["*"]) };
    let many = Selection { resource_arns: vec![arn; 5_001], ..Selection::default() };
    let only_other = Change::Key(KeyChoice {
        kms_key_id: String::new(),
        overrides: vec![KeyOverride {
            account_id: "444455556666".into(),
            kms_key_id: key("good"),
            ..KeyOverride::default()
        }],
    });
    let all = Selection::default;
    let cases = [
        (CreateBulkAssociationRequest { safety: Some(window), ..request(all(), good()) }, "FIELD_INVALID"),
        (request(other_key, Change::Disassociate(true)), "FIELD_INVALID"),
        (request(all(), Change::Disassociate(false)), "FIELD_INVALID"),
        (CreateBulkAssociationRequest { change: None, ..request(all(), good()) }, "FIELD_INVALID"),
        (CreateBulkAssociationRequest { selection: None, ..request(all(), good()) }, "FIELD_INVALID"),
        (request(mixed, good()), "FIELD_INVALID"),
        (request(many, good()), "FIELD_INVALID"),
        (request(all(), only_other), "FIELD_INVALID"),
        (request(foreign, good()), "ACCOUNT_NOT_FOUND"),
        (request(region, good()), "ACCOUNT_NOT_FOUND"),
        (request(foreign_arn, good()), "ACCOUNT_NOT_FOUND"),
    ];
    for (number, (request, expected)) in cases.into_iter().enumerate() {
        let refused = jobs.send(request).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "case {number}: {}", refused.message());
    }
    let unknown = "0193f7a0-0000-7000-8000-000000000000";
    assert_eq!(reason(&jobs.get(unknown).await.unwrap_err()), "BULK_ASSOCIATION_NOT_FOUND");
    assert_eq!(reason(&jobs.get("job-1").await.unwrap_err()), "FIELD_INVALID");
    assert_eq!(reason(&jobs.get("").await.unwrap_err()), "FIELD_INVALID");
    assert_eq!(jobs.list("", &[]).await.unwrap().len(), 0, "nothing was stored");
    service.stop().await;
}

#[tokio::test]
async fn a_repeated_request_creates_one_job() {
    let service = Service::start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let id = "0a4f8a7e-3d4e-4c6e-9c1c-111111111111".to_owned();
    let first = CreateBulkAssociationRequest {
        request_id: id,
        ..request(patterns(&["/payments/*"]), key_choice(&key("good")))
    };
    let created = jobs.send(first.clone()).await.unwrap();
    assert_eq!(jobs.send(first.clone()).await.unwrap().id, created.id);
    let refused = jobs.send(CreateBulkAssociationRequest { start: true, ..first.clone() }).await.unwrap_err();
    assert_eq!(reason(&refused), "REQUEST_ID_REUSED");
    let service = service.restart().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    assert_eq!(jobs.send(first).await.unwrap().id, created.id, "also after a restart");
    assert_eq!(jobs.list("", &[]).await.unwrap().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn items_are_listed_in_pages_and_by_filter() {
    let service = Plan::with_resources(|it| groups(it, "a", 130)).start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    jobs.wait(&job.id, |job| job.state() == BulkState::Planned).await;
    assert_eq!(jobs.items(&job.id, &[]).await.len(), 130);
    let filter = |more: ListBulkAssociationItemsRequest| ListBulkAssociationItemsRequest {
        id: job.id.clone(),
        ..more
    };
    let elsewhere =
        filter(ListBulkAssociationItemsRequest { region: "us-east-1".into(), ..Default::default() });
    assert_eq!(jobs.items_where(elsewhere).await.unwrap().len(), 0);
    let here = filter(ListBulkAssociationItemsRequest { account_id: PAYMENTS.into(), ..Default::default() });
    assert_eq!(jobs.items_where(here).await.unwrap().len(), 130);
    let by_reason = filter(ListBulkAssociationItemsRequest {
        reasons: vec!["KEY_DISABLED".into()],
        ..Default::default()
    });
    assert_eq!(jobs.items_where(by_reason).await.unwrap().len(), 0);
    let misspelled = filter(ListBulkAssociationItemsRequest {
        reasons: vec!["KEY_DISABLED".into(), "KEY_DISABELD".into()],
        ..Default::default()
    });
    let refused = jobs.items_where(misspelled).await.unwrap_err();
    assert!(refused.message().contains("reasons[1]"), "{refused}");
    assert!(refused.message().contains("did you mean KEY_DISABLED?"), "{refused}");
    let other = filter(ListBulkAssociationItemsRequest { tenant_id: "orders".into(), ..Default::default() });
    assert_eq!(reason(&jobs.items_where(other).await.unwrap_err()), "BULK_ASSOCIATION_NOT_FOUND");
    let foreign_token =
        filter(ListBulkAssociationItemsRequest { page_token: "x".into(), ..Default::default() });
    drop(foreign_token);
    service.stop().await;
}
