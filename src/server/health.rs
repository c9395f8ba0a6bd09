//! The standard gRPC health service: serving from the start until a shutdown begins.

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

/// The health service, with every service of ours serving, and the handle that changes their state.
pub(super) async fn serving() -> (HealthServer<impl Health>, HealthReporter) {
    let (reporter, service) = health_reporter();
    reporter.set_serving::<KeyAssociationServiceServer<GrpcHandler>>().await;
    reporter.set_serving::<TenantServiceServer<GrpcHandler>>().await;
    reporter.set_serving::<AuditServiceServer<GrpcHandler>>().await;
    reporter.set_serving::<BulkAssociationServiceServer<GrpcHandler>>().await;
    reporter.set_serving::<CoverageServiceServer<GrpcHandler>>().await;
    reporter.set_serving::<EncryptionRuleServiceServer<GrpcHandler>>().await;
    (service, reporter)
}

/// Reports that no service accepts calls any more, so that load balancers stop sending them.
pub(super) async fn set_not_serving(reporter: &HealthReporter) {
    reporter.set_not_serving::<KeyAssociationServiceServer<GrpcHandler>>().await;
    reporter.set_not_serving::<TenantServiceServer<GrpcHandler>>().await;
    reporter.set_not_serving::<AuditServiceServer<GrpcHandler>>().await;
    reporter.set_not_serving::<BulkAssociationServiceServer<GrpcHandler>>().await;
    reporter.set_not_serving::<CoverageServiceServer<GrpcHandler>>().await;
    reporter.set_not_serving::<EncryptionRuleServiceServer<GrpcHandler>>().await;
    reporter.set_service_status("", ServingStatus::NotServing).await;
}
