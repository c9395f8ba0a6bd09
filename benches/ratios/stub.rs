//! AWS stubbed in process: every call succeeds at once.

use std::time::Instant;

use async_trait::async_trait;
use logkey::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, DisassociateKmsKey, LogGroupName},
        audit::AwsCallRecord,
        authorization::{Access, Authorized},
        key::{KeyMetadata, KeyTags},
        policy_simulation::{SimulationRequest, SimulationResult},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        Acknowledgement, AwsResponse, KeyAssociations, Keys, LogGroup, LogGroupPage, LogGroups, Queries,
        QueryId, QueryState, Quotas, Roles, UpstreamError, quotas::ServiceQuotas,
    },
};

use crate::method::{ROLE, account};

/// A request id in the format of AWS.
const REQUEST_ID: &str = "0a1b2c3d-4e5f-4000-8000-0123456789ab";

#[derive(Debug)]
pub(crate) struct StubbedAws;

// === impl StubbedAws ===

#[async_trait]
impl KeyAssociations for StubbedAws {
    async fn associate(&self, _: &Authorized<AssociateKmsKey>, _: Instant) -> AwsResponse<Acknowledgement> {
        respond(Acknowledgement { aws_request_id: REQUEST_ID.into() })
    }

    async fn disassociate(
        &self,
        _: &Authorized<DisassociateKmsKey>,
        _: Instant,
    ) -> AwsResponse<Acknowledgement> {
        respond(Acknowledgement { aws_request_id: REQUEST_ID.into() })
    }
}

#[async_trait]
impl LogGroups for StubbedAws {
    async fn find(&self, _: &Access, _: &LogGroupName, _: Instant) -> AwsResponse<Option<LogGroup>> {
        respond(None)
    }

    async fn find_many(&self, _: &Access, _: &[LogGroupName], _: Instant) -> AwsResponse<Vec<LogGroup>> {
        respond(Vec::new())
    }

    async fn page(
        &self,
        _: &Access,
        _: Option<&str>,
        _: Option<&str>,
        _: Instant,
    ) -> AwsResponse<LogGroupPage> {
        respond(LogGroupPage::default())
    }
}

#[async_trait]
impl Keys for StubbedAws {
    async fn describe(&self, _: &Access, _: &KmsKeyId, _: Instant) -> AwsResponse<Option<KeyMetadata>> {
        respond(None)
    }

    async fn policy(&self, _: &Access, _: &KmsKeyArn, _: Instant) -> AwsResponse<Option<Box<str>>> {
        respond(None)
    }

    async fn tags(&self, _: &Access, _: &KmsKeyArn, _: Instant) -> AwsResponse<Option<KeyTags>> {
        respond(None)
    }
}

#[async_trait]
impl Roles for StubbedAws {
    async fn service_principal(&self, _: &TenantId, _: Instant) -> Result<Box<str>, UpstreamError> {
        Ok(ROLE.into())
    }

    async fn trusts_without_external_id(&self, _: &Access, _: Instant) -> AwsResponse<bool> {
        respond(false)
    }

    async fn simulate(
        &self,
        _: &Access,
        _: &SimulationRequest,
        _: Instant,
    ) -> AwsResponse<Vec<SimulationResult>> {
        respond(Vec::new())
    }
}

#[async_trait]
impl Queries for StubbedAws {
    async fn start(
        &self,
        _: &Access,
        _: &LogGroupName,
        _: Timestamp,
        _: Instant,
    ) -> AwsResponse<Option<QueryId>> {
        respond(None)
    }

    async fn poll(&self, _: &Access, _: &QueryId, _: Instant) -> AwsResponse<QueryState> {
        respond(QueryState::Running)
    }
}

#[async_trait]
impl Quotas for StubbedAws {
    async fn fetch(&self, _: &Access, _: Instant) -> AwsResponse<ServiceQuotas> {
        respond(ServiceQuotas::default())
    }
}

/// A response with the role, session and request id that the audit log records.
fn respond<T>(result: T) -> AwsResponse<T> {
    let via = AwsCallRecord {
        role_arn: Some(format!("arn:aws:iam::{}:role/{ROLE}", account(0)).into()),
        session_name: Some("bench-0a1b2c3d4e5f".into()),
        aws_request_ids: vec![REQUEST_ID.into()],
    };
    AwsResponse { via, result: Ok(result) }
}
