//! The methods of `TenantService`.

use tonic::{Request, Response, Status, async_trait};

use super::{convert, handler::GrpcHandler};
use crate::{
    proto::{
        GetCallerRequest, GetCallerResponse, GetOnboardingRequest, GetOnboardingResponse, TestAccessRequest,
        TestAccessResponse, tenant_service_server::TenantService,
    },
    service,
};

#[async_trait]
impl TenantService for GrpcHandler {
    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let (caller, GetCallerRequest {}) = Self::begin(request)?;
        let view = service::whoami(self.context(&caller)).map_err(caller.status())?;
        Ok(Response::new(convert::caller(&caller.principal, &view)))
    }

    async fn get_onboarding(
        &self,
        request: Request<GetOnboardingRequest>,
    ) -> Result<Response<GetOnboardingResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let account = self.parse_request(&caller, convert::onboarding(&message))?;
        let found = service::onboarding(self.context(&caller), account).await;
        Ok(Response::new(convert::onboarding_response(&found.map_err(caller.status())?)))
    }

    async fn test_access(
        &self,
        request: Request<TestAccessRequest>,
    ) -> Result<Response<TestAccessResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let location = self.parse_request(&caller, convert::test_access(&message))?;
        let diagnosis = service::test_access(self.context(&caller), location).await;
        Ok(Response::new(convert::test_access_response(diagnosis.map_err(caller.status())?)))
    }
}
