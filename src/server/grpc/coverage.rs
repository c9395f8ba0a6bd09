//! The methods of `CoverageService`.

use tonic::{Request, Response, Status, async_trait};

use super::{convert, handler::GrpcHandler};
use crate::proto::{
    GetCoverageHistoryRequest, GetCoverageHistoryResponse, GetCoverageRequest, GetCoverageResponse,
    ListCoverageFindingsRequest, ListCoverageFindingsResponse, coverage_service_server::CoverageService,
};

#[async_trait]
impl CoverageService for GrpcHandler {
    async fn get_coverage(
        &self,
        request: Request<GetCoverageRequest>,
    ) -> Result<Response<GetCoverageResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let query = self.parse_request(&caller, convert::coverage_query(message))?;
        let report = self.coverage.report(self.context(&caller), query).await;
        Ok(Response::new(convert::coverage_response(report.map_err(caller.status())?)))
    }

    async fn list_coverage_findings(
        &self,
        request: Request<ListCoverageFindingsRequest>,
    ) -> Result<Response<ListCoverageFindingsResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let query = self.parse_request(&caller, convert::finding_query(message))?;
        let page = self.coverage.findings(self.context(&caller), query).await;
        Ok(Response::new(convert::findings_response(page.map_err(caller.status())?)))
    }

    async fn get_coverage_history(
        &self,
        request: Request<GetCoverageHistoryRequest>,
    ) -> Result<Response<GetCoverageHistoryResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let convert::HistoryRequest { days, tenant } =
            self.parse_request(&caller, convert::history_query(&message))?;
        let history = self.coverage.history(self.context(&caller), days, tenant).await;
        Ok(Response::new(convert::history_response(history.map_err(caller.status())?)))
    }
}
