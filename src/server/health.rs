//! The standard gRPC health service. Every service of ours and the empty name have the state of [`Readiness`].

use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::{HealthReporter, health_reporter},
};

use super::grpc::handler::GrpcHandler;
use crate::proto::{
    audit_service_server::AuditServiceServer, bulk_association_service_server::BulkAssociationServiceServer,
    coverage_service_server::CoverageServiceServer,
    encryption_rule_service_server::EncryptionRuleServiceServer,
    key_association_service_server::KeyAssociationServiceServer, tenant_service_server::TenantServiceServer,
};

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

/// The health service in the present state, and the handle that changes the state.
pub(super) async fn service(ready: bool) -> (HealthServer<impl Health>, HealthReporter) {
    let (reporter, service) = health_reporter();
    report(&reporter, ready).await;
    (service, reporter)
}

/// Reports each change, until the source ends.
pub(super) async fn follow(reporter: HealthReporter, mut ready: watch::Receiver<bool>) {
    loop {
        let now = *ready.borrow_and_update();
        report(&reporter, now).await;
        if ready.changed().await.is_err() {
            return;
        }
    }
}

async fn report(reporter: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}
