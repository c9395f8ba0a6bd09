//! Each call uses one snapshot, so that a reload never mixes old and new settings within a call.

use logkey::proto::{
    CheckKeyAssociationRequest, DisassociateKmsKeyRequest, GetCheckpointRequest, GetConsistencyProofRequest,
    GetInclusionProofRequest, GetKeyAssociationRequest, GetKeyUsageRequest, GetOnboardingRequest,
    ListAuditEventsRequest, ListKeyAssociationsRequest, TestAccessRequest,
    audit_service_client::AuditServiceClient, check_key_association_request as check,
    disassociate_kms_key_request as take, get_key_association_request as get,
};

use super::*;

/// Asserts that the call reads the snapshot once, also if it fails.
macro_rules! assert_reads_snapshot_once {
    ($front:ident, $client:ident.$method:ident($message:expr)) => {
        let before = $front.rules.reads();
        let _ = $client.$method(with_token(TOKEN, $message)).await;
        assert_eq!($front.rules.reads(), before + 1, stringify!($method));
    };
}

#[tokio::test]
async fn each_call_reads_the_snapshot_once() {
    let front = front(config()).await;
    let group = || "/app/web".to_owned();
    let (mut keys, mut tenants) = (front.associator().await, front.caller().await);
    let mut audit = AuditServiceClient::new(front.channel().await);
    let associated = associate().into_inner();
    let disassociated =
        DisassociateKmsKeyRequest { target: Some(take::Target::LogGroupName(group())), ..Default::default() };
    let checked = CheckKeyAssociationRequest {
        target: Some(check::Target::LogGroupName(group())),
        kms_key_id: KEY.into(),
        ..Default::default()
    };
    let read =
        GetKeyAssociationRequest { target: Some(get::Target::LogGroupName(group())), ..Default::default() };
    let used = GetKeyUsageRequest { kms_key_id: KEY.into(), ..Default::default() };
    let proved = GetInclusionProofRequest {
        event_id: "00000000-0000-7000-8000-000000000000".into(),
        ..Default::default()
    };
    assert_reads_snapshot_once!(front, keys.associate_kms_key(associated));
    assert_reads_snapshot_once!(front, keys.disassociate_kms_key(disassociated));
    assert_reads_snapshot_once!(front, keys.check_key_association(checked));
    assert_reads_snapshot_once!(front, keys.get_key_association(read));
    assert_reads_snapshot_once!(front, keys.list_key_associations(ListKeyAssociationsRequest::default()));
    assert_reads_snapshot_once!(front, keys.get_key_usage(used));
    assert_reads_snapshot_once!(front, tenants.get_caller(GetCallerRequest::default()));
    assert_reads_snapshot_once!(
        front,
        tenants.get_onboarding(GetOnboardingRequest { account_id: "111122223333".into() })
    );
    assert_reads_snapshot_once!(front, tenants.test_access(TestAccessRequest::default()));
    assert_reads_snapshot_once!(front, audit.list_audit_events(ListAuditEventsRequest::default()));
    assert_reads_snapshot_once!(front, audit.get_checkpoint(GetCheckpointRequest::default()));
    assert_reads_snapshot_once!(front, audit.get_inclusion_proof(proved));
    assert_reads_snapshot_once!(front, audit.get_consistency_proof(GetConsistencyProofRequest::default()));
    drop((keys, tenants, audit));
    front.end().await;
}
