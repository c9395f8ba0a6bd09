//! `CloudWatch` Logs: sets and removes keys, and reads log groups.

mod read;

use std::time::Instant;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::{Client, config::Builder, operation::RequestId};

use super::{Aws, session_policy::SessionScope};
use crate::{
    domain::{
        association::{AssociateKmsKey, DisassociateKmsKey, LogGroupName, Resource, Target},
        authorization::{Access, Authorized},
    },
    ports::aws::{Acknowledgement, AwsResponse, KeyAssociations, LogGroup, LogGroupPage, LogGroups},
};

/// The largest page:
/// [`DescribeLogGroups`](https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html).
const PAGE: i32 = 50;

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
            .logs(authorized.access())
            .associate_kms_key()
            .set_log_group_name(log_group_name)
            .set_resource_identifier(resource_identifier)
            .kms_key_id(key.as_str());
        let response = self.execute(authorized.access(), session_scope(resource), deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        to_acknowledgement(response.await)
    }

    async fn disassociate(
        &self,
        authorized: &Authorized<DisassociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement> {
        let resource = &authorized.command().resource;
        let TargetParams { log_group_name, resource_identifier } = TargetParams::of(resource);
        let call = self
            .logs(authorized.access())
            .disassociate_kms_key()
            .set_log_group_name(log_group_name)
            .set_resource_identifier(resource_identifier);
        let response = self.execute(authorized.access(), session_scope(resource), deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        to_acknowledgement(response.await)
    }
}

#[async_trait]
impl LogGroups for Aws {
    /// Uses the name as a prefix: results are sorted by name, so the log group itself comes first.
    /// `logGroupIdentifiers` would work too, but not every AWS emulator supports it.
    async fn find(
        &self,
        access: &Access,
        name: &LogGroupName,
        deadline: Instant,
    ) -> AwsResponse<Option<LogGroup>> {
        let call = self.logs(access).describe_log_groups().log_group_name_prefix(name.as_str()).limit(PAGE);
        let AwsResponse { via, result } = self
            .execute(access, SessionScope::LogGroups, deadline, |credentials| {
                call.clone()
                    .customize()
                    .config_override(Builder::new().credentials_provider(credentials))
                    .send()
            })
            .await;
        AwsResponse { via, result: result.and_then(|answer| read::exact_match(answer.log_groups(), name)) }
    }

    async fn page(
        &self,
        access: &Access,
        prefix: Option<&str>,
        token: Option<&str>,
        deadline: Instant,
    ) -> AwsResponse<LogGroupPage> {
        let call = self
            .logs(access)
            .describe_log_groups()
            .set_log_group_name_prefix(prefix.filter(|prefix| !prefix.is_empty()).map(str::to_owned))
            .set_next_token(token.map(str::to_owned))
            .limit(PAGE);
        let AwsResponse { via, result } = self
            .execute(access, SessionScope::LogGroups, deadline, |credentials| {
                call.clone()
                    .customize()
                    .config_override(Builder::new().credentials_provider(credentials))
                    .send()
            })
            .await;
        AwsResponse { via, result: result.map(|answer| read::page(&answer)) }
    }
}

impl Aws {
    fn logs(&self, access: &Access) -> Client {
        self.clients.of(&access.location().region).logs.clone()
    }
}

fn session_scope(resource: &Resource) -> SessionScope {
    match resource.target {
        Target::LogGroup(_) => SessionScope::LogGroups,
        Target::QueryResults => SessionScope::QueryResults,
    }
}

fn to_acknowledgement<T: RequestId>(response: AwsResponse<T>) -> AwsResponse<Acknowledgement> {
    let AwsResponse { via, result } = response;
    let acknowledged = result
        .map(|answer| Acknowledgement { aws_request_id: answer.request_id().unwrap_or_default().into() });
    AwsResponse { via, result: acknowledged }
}
