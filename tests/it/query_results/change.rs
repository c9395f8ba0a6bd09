//! The query before a change of the key of query results, and the check of its permissions in `TestAccess`.

use logkey::proto::{
    AssociateKmsKeyRequest, AssociateKmsKeyResponse, Check, DisassociateKmsKeyRequest, Outcome,
    TestAccessRequest, Verdict, associate_kms_key_request, disassociate_kms_key_request,
    tenant_service_client::TenantServiceClient,
};
use serde_json::Value;
use tonic::Status;

use super::{GROUP, REGION, default_resources, key, results, role, set_key_outside, start};
use crate::harness::{ALL, Caller, Service, reason};

/// Sets a key if the current key is the expected one.
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
async fn the_expected_key_is_compared_with_the_key_found_by_a_query() {
    let service = start(default_resources).await;
    let caller = service.caller("payments", ALL);
    set_key_outside(&service, "other");
    let status = associate(&caller, "good", "").await.unwrap_err();
    assert_eq!(reason(&status), "EXPECTED_KEY_MISMATCH");
    assert!(status.message().contains(&key("other")), "{status:?}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 0);
    let set = associate(&caller, "good", &key("other")).await.unwrap().association.unwrap();
    assert_eq!((set.kms_key_arn, set.previous_kms_key_arn), (key("good"), key("other")));
    service.stop().await;
}

#[tokio::test]
async fn right_after_a_change_the_recorded_key_is_used() {
    let service = start(default_resources).await;
    let caller = service.caller("payments", ALL);
    associate(&caller, "good", "").await.unwrap();
    // AWS may still use another key than the one that the service set.
    set_key_outside(&service, "other");
    associate(&caller, "other", &key("good")).await.unwrap();
    let mut outcome = service.events().await.into_iter().filter(|event| event.action == "AssociateKmsKey");
    let detail = outcome.next_back().unwrap().detail.unwrap_or_default();
    assert!(detail.contains("five minutes after a change"), "{detail}");
    service.stop().await;
}

#[tokio::test]
async fn without_query_permissions_the_recorded_key_is_compared() {
    let role = role(&["logs:DescribeLogGroups", "logs:AssociateKmsKey", "kms:*"]);
    let service = start(|account| account.role_with(role).log_group(REGION, GROUP)).await;
    set_key_outside(&service, "other");
    associate(&service.caller("payments", ALL), "good", "").await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_removed_key_that_someone_else_set_becomes_a_former_key() {
    let service = start(default_resources).await;
    let caller = service.caller("payments", ALL);
    set_key_outside(&service, "other");
    let target = disassociate_kms_key_request::Target::ResourceIdentifier(results());
    let message = DisassociateKmsKeyRequest { target: Some(target), ..Default::default() };
    let removed = caller.keys().disassociate_kms_key(caller.request(message)).await.unwrap().into_inner();
    let removed = removed.association.unwrap();
    assert_eq!(removed.previous_kms_key_arn, key("other"));
    let former: Vec<&str> = removed.former_keys.iter().map(|former| former.kms_key_arn.as_str()).collect();
    assert_eq!(former, [key("other")]);
    service.stop().await;
}

/// The check of query permissions in `TestAccess`, and the verdict.
async fn query_permission(service: &Service) -> (Option<Check>, Verdict) {
    let caller = service.caller("payments", ALL);
    let mut tenants = TenantServiceClient::new(caller.channel());
    let answer =
        tenants.test_access(caller.request(TestAccessRequest::default())).await.unwrap().into_inner();
    let verdict = answer.verdict();
    (answer.checks.into_iter().find(|check| check.name == "ROLE_QUERY_PERMISSION"), verdict)
}

#[tokio::test]
async fn test_access_runs_one_query() {
    let service = start(default_resources).await;
    let (check, _) = query_permission(&service).await;
    assert_eq!(check.unwrap().outcome(), Outcome::Passed);
    assert_eq!(service.reached("StartQuery").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn each_missing_query_permission_is_reported_with_statements() {
    let all = ["logs:DescribeLogGroups", "logs:StartQuery", "logs:GetQueryResults", "kms:Decrypt"];
    for lacking in ["logs:StartQuery", "logs:GetQueryResults", "kms:Decrypt"] {
        let permissions: Vec<&str> = all.into_iter().filter(|it| *it != lacking).collect();
        let role = role(&permissions);
        let service = start(|account| account.role_with(role).log_group(REGION, GROUP)).await;
        set_key_outside(&service, "other");
        let (check, verdict) = query_permission(&service).await;
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
async fn without_a_log_group_query_permissions_are_not_checked() {
    let bare = |account: logkey::sandbox::seed::AccountSeed| {
        account.role("LogKeyAssociator", "payments-external-id")
    };
    let service = start(bare).await;
    assert_eq!(query_permission(&service).await.0.unwrap().outcome(), Outcome::NotChecked);
    service.stop().await;
}

#[tokio::test]
async fn without_list_permission_query_permissions_are_not_checked() {
    let role = role(&["logs:StartQuery", "logs:GetQueryResults", "kms:*"]);
    let service = start(|account| account.role_with(role).log_group(REGION, GROUP)).await;
    assert_eq!(query_permission(&service).await.0.unwrap().outcome(), Outcome::NotChecked);
    service.stop().await;
}

#[tokio::test]
async fn without_the_setting_no_query_runs() {
    let service = Service::start().await;
    assert!(query_permission(&service).await.0.is_none());
    assert_eq!(service.reached("StartQuery").len(), 0);
    service.stop().await;
}
