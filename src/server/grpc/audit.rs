//! The methods of `AuditService`.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{caller::Caller, convert, handler::GrpcHandler, status};
use crate::{
    proto::{
        GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
        GetInclusionProofRequest, GetInclusionProofResponse, ListAuditEventsRequest, ListAuditEventsResponse,
        WatchAuditEventsRequest, WatchAuditEventsResponse, audit_service_server::AuditService,
    },
    service::Context,
};

#[async_trait]
impl AuditService for GrpcHandler {
    type WatchAuditEventsStream =
        Pin<Box<dyn Stream<Item = Result<WatchAuditEventsResponse, Status>> + Send>>;

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let convert::ListAuditRequest { filter, page_size, unverified_page_token } =
            self.parse_request(&caller, convert::list_audit(message))?;
        let page = self.audit.list(self.context(&caller), filter, page_size, &unverified_page_token).await;
        Ok(Response::new(convert::list_audit_response(page.map_err(caller.status())?)))
    }

    async fn watch_audit_events(
        &self,
        request: Request<WatchAuditEventsRequest>,
    ) -> Result<Response<Self::WatchAuditEventsStream>, Status> {
        let (caller, message) = Self::begin(request)?;
        let (filter, after) = self.parse_request(&caller, convert::watch_audit(message))?;
        let Caller { call, principal, .. } = &caller;
        // By the current snapshot: a stream outlives reloads.
        let cx = Context::current(&self.state, Arc::clone(call), Arc::clone(principal))
            .with_token(caller.token.clone());
        let watched = self.audit.watch(cx, filter, after, self.stopping.clone()).await;
        let (watched, call) = (watched.map_err(caller.status())?, Arc::clone(call));
        let responses = watched.map(move |batch| match batch {
            Ok(batch) => Ok(convert::watch_audit_response(batch)),
            Err(error) => Err(status::from_error(&call, &error)),
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let (caller, GetCheckpointRequest {}) = Self::begin(request)?;
        let head = self.audit.checkpoint(self.context(&caller)).await.map_err(caller.status())?;
        Ok(Response::new(convert::checkpoint_response(head)))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let (id, size) = self.parse_request(&caller, convert::inclusion(&message))?;
        let proof = self.audit.inclusion(self.context(&caller), id, size).await;
        Ok(Response::new(convert::inclusion_response(proof.map_err(caller.status())?)))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let (from, to) = self.parse_request(&caller, convert::consistency(&message))?;
        let proof = self.audit.consistency(self.context(&caller), from, to).await;
        Ok(Response::new(convert::consistency_response(proof.map_err(caller.status())?)))
    }
}
