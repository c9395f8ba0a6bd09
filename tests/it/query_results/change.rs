//! What is asked by a query before the key of query results is changed, and what `TestAccess` says of the
//! permissions that it takes.

use logkey::proto::{
    AssociateKmsKeyRequest, AssociateKmsKeyResponse, Check, DisassociateKmsKeyRequest, Outcome,
    TestAccessRequest, Verdict, associate_kms_key_request, disassociate_kms_key_request,
    tenant_service_client::TenantServiceClient,
};
use serde_json::Value;
use tonic::Status;

use super::{GROUP, REGION, drift, key, results, role, start, usual};
use crate::harness::{ALL, Caller, Service, reason};

/// Sets a key where the one in force is this.
async fn associate(caller: &Caller, id: &str, expected: &str) -> Result<AssociateKmsKeyResponse, Status> {
    let message = AssociateKmsKeyRequest {
        target: Some(associate_kms_key_request::Target::ResourceIdentifier(results())),
        kms_key_id: key(id),
        expected_kms_key_id: Some(expected.to_owned()),
        ..AssociateKmsKeyRequest::default()
    };
    caller.send(message).await
}

#[tokio::test]
async fn the_key_that_is_expected_is_compared_with_the_one_that_a_query_shows() {
    let service = start(usual).await;
    let caller = service.caller("payments", ALL);
    drift(&service, "other");
    let status = associate(&caller, "good", "").await.unwrap_err();
    assert_eq!(reason(&status), "EXPECTED_KEY_MISMATCH");
    assert!(status.message().contains(&key("other")), "{status:?}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 0);
    let set = associate(&caller, "good", &key("other")).await.unwrap().association.unwrap();
    assert_eq!((set.kms_key_arn, set.previous_kms_key_arn), (key("good"), key("other")));
    service.stop().await;
}

#[tokio::test]
async fn right_after_a_change_the_record_counts() {
    let service = start(usual).await;
    let caller = service.caller("payments", ALL);
    associate(&caller, "good", "").await.unwrap();
    // AWS may still use another key than the one that was set here.
    drift(&service, "other");
    associate(&caller, "other", &key("good")).await.unwrap();
    let mut outcome = service.events().await.into_iter().filter(|event| event.action == "AssociateKmsKey");
    let detail = outcome.next_back().unwrap().detail.unwrap_or_default();
    assert!(detail.contains("five minutes after a change"), "{detail}");
    service.stop().await;
}

#[tokio::test]
async fn without_the_right_to_query_the_record_is_what_is_compared() {
    let role = role(&["logs:DescribeLogGroups", "logs:AssociateKmsKey", "kms:*"]);
    let service = start(|account| account.role_with(role).log_group(REGION, GROUP)).await;
    drift(&service, "other");
    associate(&service.caller("payments", ALL), "good", "").await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_key_that_someone_else_set_is_a_former_one_once_it_is_taken_away() {
    let service = start(usual).await;
    let caller = service.caller("payments", ALL);
    drift(&service, "other");
    let target = disassociate_kms_key_request::Target::ResourceIdentifier(results());
    let message = DisassociateKmsKeyRequest { target: Some(target), ..Default::default() };
    let taken = caller.keys().disassociate_kms_key(caller.request(message)).await.unwrap().into_inner();
    let taken = taken.association.unwrap();
    assert_eq!(taken.previous_kms_key_arn, key("other"));
    let former: Vec<&str> = taken.former_keys.iter().map(|former| former.kms_key_arn.as_str()).collect();
    assert_eq!(former, [key("other")]);
    service.stop().await;
}

/// What `TestAccess` says of queries, and what it comes to.
async fn tried(service: &Service) -> (Option<Check>, Verdict) {
    let caller = service.caller("payments", ALL);
    let mut tenants = TenantServiceClient::new(caller.channel());
    let answer =
        tenants.test_access(caller.request(TestAccessRequest::default())).await.unwrap().into_inner();
    let verdict = answer.verdict();
    (answer.checks.into_iter().find(|check| check.name == "ROLE_QUERY_PERMISSION"), verdict)
}

#[tokio::test]
async fn access_to_queries_is_tried_by_one() {
    let service = start(usual).await;
    let (check, _) = tried(&service).await;
    assert_eq!(check.unwrap().outcome(), Outcome::Passed);
    assert_eq!(service.reached("StartQuery").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn each_permission_that_a_query_lacks_is_told_with_the_statements_that_mend_it() {
    let all = ["logs:DescribeLogGroups", "logs:StartQuery", "logs:GetQueryResults", "kms:Decrypt"];
    for lacking in ["logs:StartQuery", "logs:GetQueryResults", "kms:Decrypt"] {
        let may: Vec<&str> = all.into_iter().filter(|it| *it != lacking).collect();
        let role = role(&may);
        let service = start(|account| account.role_with(role).log_group(REGION, GROUP)).await;
        drift(&service, "other");
        let (check, verdict) = tried(&service).await;
        let check = check.unwrap();
        assert_eq!((check.outcome(), verdict), (Outcome::Failed, Verdict::WouldFail), "{lacking}");
        assert!(check.detail.contains(lacking), "{lacking}: {}", check.detail);
        let policy: Value = serde_json::from_str(&check.remedy_document).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        let sids: Vec<&str> = statements.iter().filter_map(|one| one["Sid"].as_str()).collect();
        assert_eq!(sids, ["RunQueryInLogGroups", "ReadQueryResults", "UseKeysThroughCloudWatchLogs"]);
        service.stop().await;
    }
}

#[tokio::test]
async fn what_no_query_could_show_is_not_called_a_lack() {
    let bare = |account: logkey::sandbox::seed::AccountSeed| {
        account.role("LogKeyAssociator", "payments-external-id")
    };
    let service = start(bare).await;
    assert_eq!(tried(&service).await.0.unwrap().outcome(), Outcome::NotChecked);
    service.stop().await;
}

#[tokio::test]
async fn where_log_groups_cannot_be_listed_queries_are_not_judged() {
    let role = role(&["logs:StartQuery", "logs:GetQueryResults", "kms:*"]);
    let service = start(|account| account.role_with(role).log_group(REGION, GROUP)).await;
    assert_eq!(tried(&service).await.0.unwrap().outcome(), Outcome::NotChecked);
    service.stop().await;
}

#[tokio::test]
async fn without_the_setting_nothing_is_queried() {
    let service = Service::start().await;
    assert!(tried(&service).await.0.is_none());
    assert_eq!(service.reached("StartQuery").len(), 0);
    service.stop().await;
}
