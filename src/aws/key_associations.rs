//! `CloudWatch` Logs: sets and removes keys.

use std::time::Instant;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::operation::RequestId;

use super::{client::Aws, operation::with_credentials, session_policy::SessionScope};
use crate::{
    domain::{
        association::{AssociateKmsKey, DisassociateKmsKey, Resource, Target},
        authorization::Authorized,
    },
    ports::aws::{Acknowledgement, AwsResponse, KeyAssociations},
};

/// The parameters that name the target; AWS requires exactly one of them.
struct TargetParams {
    log_group_name: Option<String>,
    resource_identifier: Option<String>,
}

// === impl TargetParams ===

impl TargetParams {
    /// A log group is named by its name, which can contain `#`. Query results have only an ARN.
    fn of(resource: &Resource) -> Self {
        match &resource.target {
            Target::LogGroup(name) => {
                Self { log_group_name: Some(name.to_string()), resource_identifier: None }
            }
            Target::QueryResults => {
                Self { log_group_name: None, resource_identifier: Some(resource.arn().to_string()) }
            }
        }
    }
}

// === impl Aws ===

#[async_trait]
impl KeyAssociations for Aws {
    async fn associate(
        &self,
        authorized: &Authorized<AssociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement> {
        let AssociateKmsKey { resource, key, .. } = authorized.command();
        let TargetParams { log_group_name, resource_identifier } = TargetParams::of(resource);
        let call = self
            .regional(authorized.access())
            .logs
            .associate_kms_key()
            .set_log_group_name(log_group_name)
            .set_resource_identifier(resource_identifier)
            .kms_key_id(key.as_str());
        let send = with_credentials!(aws_sdk_cloudwatchlogs, call);
        let response = self.execute(authorized.access(), session_scope(resource), deadline, send).await;
        response.map(|answer| to_acknowledgement(&answer))
    }

    async fn disassociate(
        &self,
        authorized: &Authorized<DisassociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement> {
        let resource = &authorized.command().resource;
        let TargetParams { log_group_name, resource_identifier } = TargetParams::of(resource);
        let call = self
            .regional(authorized.access())
            .logs
            .disassociate_kms_key()
            .set_log_group_name(log_group_name)
            .set_resource_identifier(resource_identifier);
        let send = with_credentials!(aws_sdk_cloudwatchlogs, call);
        let response = self.execute(authorized.access(), session_scope(resource), deadline, send).await;
        response.map(|answer| to_acknowledgement(&answer))
    }
}

fn session_scope(resource: &Resource) -> SessionScope {
    match resource.target {
        Target::LogGroup(_) => SessionScope::LogGroups,
        Target::QueryResults => SessionScope::QueryResults,
    }
}

fn to_acknowledgement(answer: &impl RequestId) -> Acknowledgement {
    Acknowledgement { aws_request_id: answer.request_id().unwrap_or_default().into() }
}
