//! The methods of `BulkAssociationService`.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{caller::Caller, convert, handler::GrpcHandler, status};
use crate::{
    proto::{
        CancelBulkAssociationRequest, CancelBulkAssociationResponse, CreateBulkAssociationRequest,
        CreateBulkAssociationResponse, GetBulkAssociationRequest, GetBulkAssociationResponse,
        ListBulkAssociationItemsRequest, ListBulkAssociationItemsResponse, ListBulkAssociationsRequest,
        ListBulkAssociationsResponse, PauseBulkAssociationRequest, PauseBulkAssociationResponse,
        ResumeBulkAssociationRequest, ResumeBulkAssociationResponse, RetryBulkAssociationRequest,
        RetryBulkAssociationResponse, RevertBulkAssociationRequest, RevertBulkAssociationResponse,
        StartBulkAssociationRequest, StartBulkAssociationResponse, WatchBulkAssociationRequest,
        WatchBulkAssociationResponse, bulk_association_service_server::BulkAssociationService,
    },
    service::Context,
};

#[async_trait]
impl BulkAssociationService for GrpcHandler {
    type WatchBulkAssociationStream =
        Pin<Box<dyn Stream<Item = Result<WatchBulkAssociationResponse, Status>> + Send>>;

    async fn create_bulk_association(
        &self,
        request: Request<CreateBulkAssociationRequest>,
    ) -> Result<Response<CreateBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::bulk::create(message))?;
        let job = self.fleet.create(self.context(&caller), request).await.map_err(caller.status())?;
        let bulk_association = Some(convert::bulk_answer::job(job));
        Ok(Response::new(CreateBulkAssociationResponse { bulk_association }))
    }

    async fn start_bulk_association(
        &self,
        request: Request<StartBulkAssociationRequest>,
    ) -> Result<Response<StartBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::bulk::job_id(&message.id))?;
        let job = self.fleet.start(self.context(&caller), id, &message.etag).await;
        let bulk_association = Some(convert::bulk_answer::job(job.map_err(caller.status())?));
        Ok(Response::new(StartBulkAssociationResponse { bulk_association }))
    }

    async fn pause_bulk_association(
        &self,
        request: Request<PauseBulkAssociationRequest>,
    ) -> Result<Response<PauseBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::bulk::job_id(&message.id))?;
        let job = self.fleet.pause(self.context(&caller), id).await.map_err(caller.status())?;
        let bulk_association = Some(convert::bulk_answer::job(job));
        Ok(Response::new(PauseBulkAssociationResponse { bulk_association }))
    }

    async fn resume_bulk_association(
        &self,
        request: Request<ResumeBulkAssociationRequest>,
    ) -> Result<Response<ResumeBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::bulk::job_id(&message.id))?;
        let job = self.fleet.resume(self.context(&caller), id).await.map_err(caller.status())?;
        let bulk_association = Some(convert::bulk_answer::job(job));
        Ok(Response::new(ResumeBulkAssociationResponse { bulk_association }))
    }

    async fn cancel_bulk_association(
        &self,
        request: Request<CancelBulkAssociationRequest>,
    ) -> Result<Response<CancelBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::bulk::job_id(&message.id))?;
        let job = self.fleet.cancel(self.context(&caller), id).await.map_err(caller.status())?;
        let bulk_association = Some(convert::bulk_answer::job(job));
        Ok(Response::new(CancelBulkAssociationResponse { bulk_association }))
    }

    async fn retry_bulk_association(
        &self,
        request: Request<RetryBulkAssociationRequest>,
    ) -> Result<Response<RetryBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::bulk::job_id(&message.id))?;
        let job = self.fleet.retry(self.context(&caller), id).await.map_err(caller.status())?;
        let bulk_association = Some(convert::bulk_answer::job(job));
        Ok(Response::new(RetryBulkAssociationResponse { bulk_association }))
    }

    async fn revert_bulk_association(
        &self,
        request: Request<RevertBulkAssociationRequest>,
    ) -> Result<Response<RevertBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let convert::bulk::RevertRequest { id, request_id, reason } =
            self.parse_request(&caller, convert::bulk::revert(&message))?;
        let job = self.fleet.revert(self.context(&caller), id, request_id, reason).await;
        let bulk_association = Some(convert::bulk_answer::job(job.map_err(caller.status())?));
        Ok(Response::new(RevertBulkAssociationResponse { bulk_association }))
    }

    async fn get_bulk_association(
        &self,
        request: Request<GetBulkAssociationRequest>,
    ) -> Result<Response<GetBulkAssociationResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::bulk::job_id(&message.id))?;
        let job = self.fleet.get(self.context(&caller), id).await.map_err(caller.status())?;
        let bulk_association = Some(convert::bulk_answer::job(job));
        Ok(Response::new(GetBulkAssociationResponse { bulk_association }))
    }

    async fn list_bulk_associations(
        &self,
        request: Request<ListBulkAssociationsRequest>,
    ) -> Result<Response<ListBulkAssociationsResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let query = self.parse_request(&caller, convert::bulk::list_jobs(message))?;
        let page = self.fleet.list(self.context(&caller), query).await.map_err(caller.status())?;
        Ok(Response::new(convert::bulk_answer::jobs(page)))
    }

    async fn list_bulk_association_items(
        &self,
        request: Request<ListBulkAssociationItemsRequest>,
    ) -> Result<Response<ListBulkAssociationItemsResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let query = self.parse_request(&caller, convert::bulk::list_items(message))?;
        let page = self.fleet.items(self.context(&caller), query).await.map_err(caller.status())?;
        Ok(Response::new(convert::bulk_answer::items(page)))
    }

    async fn watch_bulk_association(
        &self,
        request: Request<WatchBulkAssociationRequest>,
    ) -> Result<Response<Self::WatchBulkAssociationStream>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::bulk::job_id(&message.id))?;
        let Caller { call, principal, .. } = &caller;
        // By the current snapshot: a stream outlives reloads.
        let cx = Context::current(&self.state, Arc::clone(call), Arc::clone(principal))
            .with_token(caller.token.clone());
        let watched = self.fleet.watch(cx, id, self.stopping.clone()).await;
        let (watched, call) = (watched.map_err(caller.status())?, Arc::clone(call));
        let responses = watched.map(move |job| match job {
            Ok(job) => {
                let bulk_association = Some(convert::bulk_answer::job(job));
                Ok(WatchBulkAssociationResponse { bulk_association })
            }
            Err(error) => Err(status::from_error(&call, &error)),
        });
        Ok(Response::new(Box::pin(responses)))
    }
}
