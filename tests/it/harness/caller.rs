//! A gRPC client that sends a token.

use logkey::proto::{
    AssociateKmsKeyRequest, AssociateKmsKeyResponse, DisassociateKmsKeyRequest, DisassociateKmsKeyResponse,
    GetCallerRequest, GetCallerResponse, GetKeyAssociationRequest, KeyAssociation,
    ListKeyAssociationsRequest, ListKeyAssociationsResponse, associate_kms_key_request,
    disassociate_kms_key_request, get_key_association_request,
    key_association_service_client::KeyAssociationServiceClient, tenant_service_client::TenantServiceClient,
};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

/// A gRPC client that sends a token with each call.
#[derive(Clone)]
pub(crate) struct Caller {
    channel: Channel,
    authorization: String,
}

/// The error reason in the status details, or an empty text.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

impl Caller {
    pub(crate) fn new(channel: Channel, token: &str) -> Self {
        Self { channel, authorization: format!("Bearer {token}") }
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.parse().unwrap());
        request
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn keys(&self) -> KeyAssociationServiceClient<Channel> {
        KeyAssociationServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn send(
        &self,
        message: AssociateKmsKeyRequest,
    ) -> Result<AssociateKmsKeyResponse, Status> {
        let answer = self.keys().associate_kms_key(self.request(message)).await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) async fn associate(&self, group: &str, key: &str) -> Result<AssociateKmsKeyResponse, Status> {
        self.send(on_group(group, key)).await
    }

    pub(crate) async fn associate_arn(
        &self,
        arn: &str,
        key: &str,
    ) -> Result<AssociateKmsKeyResponse, Status> {
        let target = associate_kms_key_request::Target::ResourceIdentifier(arn.into());
        let message = AssociateKmsKeyRequest {
            target: Some(target),
            kms_key_id: key.into(),
            ..AssociateKmsKeyRequest::default()
        };
        self.send(message).await
    }

    pub(crate) async fn disassociate(&self, group: &str) -> Result<DisassociateKmsKeyResponse, Status> {
        let target = disassociate_kms_key_request::Target::LogGroupName(group.into());
        let message = DisassociateKmsKeyRequest { target: Some(target), ..Default::default() };
        self.keys().disassociate_kms_key(self.request(message)).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn get(&self, group: &str) -> Result<KeyAssociation, Status> {
        self.read(get_key_association_request::Target::LogGroupName(group.into())).await
    }

    pub(crate) async fn get_arn(&self, arn: &str) -> Result<KeyAssociation, Status> {
        self.read(get_key_association_request::Target::ResourceIdentifier(arn.into())).await
    }

    async fn read(&self, target: get_key_association_request::Target) -> Result<KeyAssociation, Status> {
        let message = GetKeyAssociationRequest { target: Some(target), ..Default::default() };
        let answer = self.keys().get_key_association(self.request(message)).await?;
        Ok(answer.into_inner().association.unwrap())
    }

    pub(crate) async fn list(
        &self,
        message: ListKeyAssociationsRequest,
    ) -> Result<ListKeyAssociationsResponse, Status> {
        let answer = self.keys().list_key_associations(self.request(message)).await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) async fn who_am_i(&self) -> Result<GetCallerResponse, Status> {
        let mut client = TenantServiceClient::new(self.channel.clone());
        client.get_caller(self.request(GetCallerRequest {})).await.map(tonic::Response::into_inner)
    }
}

pub(crate) fn on_group(group: &str, key: &str) -> AssociateKmsKeyRequest {
    let target = associate_kms_key_request::Target::LogGroupName(group.into());
    AssociateKmsKeyRequest { target: Some(target), kms_key_id: key.into(), ..Default::default() }
}
