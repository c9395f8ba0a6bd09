//! The services of the gRPC port: ours behind the layers that need a token, health and reflection before them.

use prost_reflect::{DescriptorError, DescriptorPool};
use tonic::{
    codec::CompressionEncoding,
    service::{LayerExt as _, Routes},
};

use super::{
    config::Config,
    grpc::handler::GrpcHandler,
    health::{self, ReadinessHealth, pb::health_server::HealthServer},
    layers::stack::{LayerPorts, call_stack, open_stack},
    message_limits::{MAX_BULK_MESSAGE, MAX_MESSAGE},
    reflection::{self, V1Alpha},
};
use crate::proto::{
    DESCRIPTORS, audit_service_server::AuditServiceServer,
    bulk_association_service_server::BulkAssociationServiceServer,
    coverage_service_server::CoverageServiceServer,
    encryption_rule_service_server::EncryptionRuleServiceServer,
    key_association_service_server::KeyAssociationServiceServer, tenant_service_server::TenantServiceServer,
};

/// The descriptors of the methods that are served, and of the types in the details of errors.
///
/// # Errors
///
/// If the compiled descriptors are unusable.
pub(super) fn descriptors() -> Result<DescriptorPool, DescriptorError> {
    let mut pool = DescriptorPool::new();
    for set in [DESCRIPTORS, health::DESCRIPTORS, tonic_types::pb::FILE_DESCRIPTOR_SET] {
        pool.decode_file_descriptor_set(set)?;
    }
    Ok(pool)
}

/// The longest message without a token, in bytes: the name of a service or of a symbol.
const MAX_OPEN_MESSAGE: usize = 4 * 1024;

/// Builds every service. It fails only if the compiled descriptors are unusable.
pub(super) fn routes(
    config: &Config,
    ports: &LayerPorts,
    handler: GrpcHandler,
    health: HealthServer<ReadinessHealth>,
) -> Result<Routes, DescriptorError> {
    let associations = KeyAssociationServiceServer::new(handler.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let audit = AuditServiceServer::new(handler.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let bulk = BulkAssociationServiceServer::new(handler.clone())
        .max_decoding_message_size(MAX_BULK_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let coverage = CoverageServiceServer::new(handler.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let rules = EncryptionRuleServiceServer::new(handler.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let tenants = TenantServiceServer::new(handler)
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let guarded = call_stack(ports, config.max_in_flight);
    let open = open_stack();
    // Outside the guarded stack: a probe has no token.
    let mut routes = Routes::new(open.named_layer(health.max_decoding_message_size(MAX_OPEN_MESSAGE)))
        .add_service(guarded.named_layer(associations))
        .add_service(guarded.named_layer(audit))
        .add_service(guarded.named_layer(bulk))
        .add_service(guarded.named_layer(coverage))
        .add_service(guarded.named_layer(rules))
        .add_service(guarded.named_layer(tenants));
    if config.reflection {
        // With the types of error details, which some clients decode by reflection.
        let v1 = reflection::service(descriptors()?)?.max_decoding_message_size(MAX_OPEN_MESSAGE);
        let v1alpha = V1Alpha(v1.clone());
        routes = routes.add_service(open.named_layer(v1)).add_service(open.named_layer(v1alpha));
    }
    Ok(routes)
}
