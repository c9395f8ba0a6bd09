//! What is in force is asked for once by each call, so that none is judged half by the old and half by the new.

use logkey::proto::{
    CheckKeyAssociationRequest, DisassociateKmsKeyRequest, GetCheckpointRequest, GetConsistencyProofRequest,
    GetInclusionProofRequest, GetKeyAssociationRequest, GetKeyUsageRequest, GetOnboardingRequest,
    ListAuditEventsRequest, ListKeyAssociationsRequest, TestAccessRequest,
    audit_service_client::AuditServiceClient, check_key_association_request as check,
    disassociate_kms_key_request as take, get_key_association_request as get,
};

use super::*;

/// The call asks once, however it ends.
macro_rules! asks_once {
    ($front:ident, $client:ident.$method:ident($message:expr)) => {
        let before = $front.rules.reads();
        let _ = $client.$method(with_token(TOKEN, $message)).await;
        assert_eq!($front.rules.reads(), before + 1, stringify!($method));
    };
}

#[tokio::test]
async fn each_call_asks_once_what_is_in_force() {
    let front = front(config()).await;
    let group = || "/app/web".to_owned();
    let (mut keys, mut tenants) = (front.associator().await, front.caller().await);
    let mut audit = AuditServiceClient::new(front.channel().await);
    let associated = associate().into_inner();
    let taken =
        DisassociateKmsKeyRequest { target: Some(take::Target::LogGroupName(group())), ..Default::default() };
    let checked = CheckKeyAssociationRequest {
        target: Some(check::Target::LogGroupName(group())),
        kms_key_id: KEY.into(),
        ..Default::default()
    };
    let got =
        GetKeyAssociationRequest { target: Some(get::Target::LogGroupName(group())), ..Default::default() };
    let used = GetKeyUsageRequest { kms_key_id: KEY.into(), ..Default::default() };
    let proved = GetInclusionProofRequest {
        event_id: "00000000-0000-7000-8000-000000000000".into(),
        ..Default::default()
    };
    asks_once!(front, keys.associate_kms_key(associated));
    asks_once!(front, keys.disassociate_kms_key(taken));
    asks_once!(front, keys.check_key_association(checked));
    asks_once!(front, keys.get_key_association(got));
    asks_once!(front, keys.list_key_associations(ListKeyAssociationsRequest::default()));
    asks_once!(front, keys.get_key_usage(used));
    asks_once!(front, tenants.get_caller(GetCallerRequest::default()));
    asks_once!(front, tenants.get_onboarding(GetOnboardingRequest { account_id: "111122223333".into() }));
    asks_once!(front, tenants.test_access(TestAccessRequest::default()));
    asks_once!(front, audit.list_audit_events(ListAuditEventsRequest::default()));
    asks_once!(front, audit.get_checkpoint(GetCheckpointRequest::default()));
    asks_once!(front, audit.get_inclusion_proof(proved));
    asks_once!(front, audit.get_consistency_proof(GetConsistencyProofRequest::default()));
    drop((keys, tenants, audit));
    front.end().await;
}
