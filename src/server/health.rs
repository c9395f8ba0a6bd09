//! The standard gRPC health service. Every service of ours and the empty name have the state of [`Readiness`].
//!
//! [`Readiness`]: super::readiness::Readiness

use std::{collections::HashMap, pin::Pin};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, async_trait, server::NamedService};

use self::pb::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use super::grpc::handler::GrpcHandler;
use crate::proto::{
    audit_service_server::AuditServiceServer, bulk_association_service_server::BulkAssociationServiceServer,
    coverage_service_server::CoverageServiceServer,
    encryption_rule_service_server::EncryptionRuleServiceServer,
    key_association_service_server::KeyAssociationServiceServer, tenant_service_server::TenantServiceServer,
};

/// The types generated from `health/grpc/health/v1/health.proto`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    unreachable_pub,
    reason = "generated code"
)]
pub(super) mod pb {
    tonic::include_proto!("grpc.health.v1");
}

/// The compiled descriptors, for server reflection.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/health_descriptors.bin"));

/// The names that a health check can ask for. The empty one means the whole server.
const SERVICES: [&str; 7] = [
    "",
    KeyAssociationServiceServer::<GrpcHandler>::NAME,
    TenantServiceServer::<GrpcHandler>::NAME,
    AuditServiceServer::<GrpcHandler>::NAME,
    BulkAssociationServiceServer::<GrpcHandler>::NAME,
    CoverageServiceServer::<GrpcHandler>::NAME,
    EncryptionRuleServiceServer::<GrpcHandler>::NAME,
];

/// Reports the state of the service. tonic's own health service fails a watch of an unknown name, which
/// the specification answers with `SERVICE_UNKNOWN` (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
pub(super) struct ReadinessHealth {
    ready: watch::Receiver<bool>,
}

/// The health service with this state.
pub(super) fn service(ready: watch::Receiver<bool>) -> HealthServer<ReadinessHealth> {
    HealthServer::new(ReadinessHealth { ready })
}

fn response(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

// === impl ReadinessHealth ===

#[async_trait]
impl Health for ReadinessHealth {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        if !SERVICES.contains(&&*name) {
            return Err(Status::not_found(
                "the server has no such service: list them with server reflection",
            ));
        }
        Ok(Response::new(response(*self.ready.borrow())))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let state = response(*self.ready.borrow());
        let statuses: HashMap<_, _> = SERVICES.iter().map(|name| ((*name).to_owned(), state)).collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let name = request.into_inner().service;
        let states: Self::WatchStream = if SERVICES.contains(&&*name) {
            Box::pin(WatchStream::new(self.ready.clone()).map(|ready| Ok(response(ready))))
        } else {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            Box::pin(stream::once(async move { Ok(unknown) }).chain(stream::pending()))
        };
        Ok(Response::new(states))
    }
}
