//! `TenantService`.

use tonic::{Request, Response, Status, async_trait};

use super::Handler;
use crate::{
    proto::{
        GetCallerRequest, GetCallerResponse, GetOnboardingRequest, GetOnboardingResponse, TestAccessRequest,
        TestAccessResponse, tenant_service_server::TenantService,
    },
    server::convert,
};

#[async_trait]
impl TenantService for Handler {
    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<GetCallerResponse>, Status> {
        let (caller, GetCallerRequest {}) = Self::open(request)?;
        let view = self.broker(&caller).caller(&caller.call, &caller.who).map_err(caller.status())?;
        Ok(Response::new(convert::caller(&caller.who, &view)))
    }

    async fn get_onboarding(
        &self,
        request: Request<GetOnboardingRequest>,
    ) -> Result<Response<GetOnboardingResponse>, Status> {
        let (caller, message) = Self::open(request)?;
        let account = self.parsed(&caller, convert::onboarding(&message))?;
        let found = self.broker(&caller).onboarding(&caller.call, &caller.who, account).await;
        Ok(Response::new(convert::onboarding_response(&found.map_err(caller.status())?)))
    }

    async fn test_access(
        &self,
        request: Request<TestAccessRequest>,
    ) -> Result<Response<TestAccessResponse>, Status> {
        let (caller, message) = Self::open(request)?;
        let place = self.parsed(&caller, convert::test_access(&message))?;
        let tried = self.broker(&caller).test_access(&caller.call, &caller.who, place).await;
        Ok(Response::new(convert::test_access_response(tried.map_err(caller.status())?)))
    }
}
