//! The methods of `KeyAssociationService`.

use tonic::{Request, Response, Status, async_trait};

use super::{convert, handler::GrpcHandler};
use crate::{
    proto::{
        AssociateKmsKeyRequest, AssociateKmsKeyResponse, CheckKeyAssociationRequest,
        CheckKeyAssociationResponse, DisassociateKmsKeyRequest, DisassociateKmsKeyResponse,
        GetKeyAssociationRequest, GetKeyAssociationResponse, GetKeyUsageRequest, GetKeyUsageResponse,
        ListKeyAssociationsRequest, ListKeyAssociationsResponse,
        key_association_service_server::KeyAssociationService,
    },
    service,
};

#[async_trait]
impl KeyAssociationService for GrpcHandler {
    async fn associate_kms_key(
        &self,
        request: Request<AssociateKmsKeyRequest>,
    ) -> Result<Response<AssociateKmsKeyResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::associate(message))?;
        let changed = service::associate(self.context(&caller), request).await;
        let changed = changed.map_err(caller.status())?;
        Ok(Response::new(convert::associate_response(changed)))
    }

    async fn disassociate_kms_key(
        &self,
        request: Request<DisassociateKmsKeyRequest>,
    ) -> Result<Response<DisassociateKmsKeyResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::disassociate(message))?;
        let changed = service::disassociate(self.context(&caller), request).await;
        let changed = changed.map_err(caller.status())?;
        Ok(Response::new(convert::disassociate_response(changed)))
    }

    async fn get_key_association(
        &self,
        request: Request<GetKeyAssociationRequest>,
    ) -> Result<Response<GetKeyAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::get(message))?;
        let found = service::get(self.context(&caller), request).await.map_err(caller.status())?;
        Ok(Response::new(convert::get_response(found)))
    }

    async fn list_key_associations(
        &self,
        request: Request<ListKeyAssociationsRequest>,
    ) -> Result<Response<ListKeyAssociationsResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::list(message))?;
        let page = service::list(self.context(&caller), request).await.map_err(caller.status())?;
        Ok(Response::new(ListKeyAssociationsResponse {
            associations: page.associations.into_iter().map(convert::key_association).collect(),
            next_page_token: page.next_page_token.into(),
        }))
    }

    async fn check_key_association(
        &self,
        request: Request<CheckKeyAssociationRequest>,
    ) -> Result<Response<CheckKeyAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::check(message))?;
        let diagnosis = service::check(self.context(&caller), request).await.map_err(caller.status())?;
        Ok(Response::new(convert::check_response(diagnosis)))
    }

    async fn get_key_usage(
        &self,
        request: Request<GetKeyUsageRequest>,
    ) -> Result<Response<GetKeyUsageResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::usage(message))?;
        let usage = service::usage(self.context(&caller), request).await.map_err(caller.status())?;
        Ok(Response::new(convert::usage_response(usage)))
    }
}
