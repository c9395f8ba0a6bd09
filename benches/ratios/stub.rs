//! AWS stubbed in process: every call succeeds at once.

use std::time::Instant;

use async_trait::async_trait;
use logkey::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, DisassociateKmsKey, LogGroupName},
        audit::Via,
        authorization::{Access, Authorized},
        key::{KeyMetadata, KeyTags},
        simulation::{Simulated, Trial},
        time::Timestamp,
    },
    ports::{
        Accepted, Answered, KeyAssociations, Keys, LogGroup, LogGroupPage, LogGroups, Queries, QueryId,
        QueryRun, Quotas, Roles, UpstreamError, quotas::Granted,
    },
};

use crate::method::{ROLE, account};

/// What AWS's request ids look like.
const REQUEST_ID: &str = "0a1b2c3d-4e5f-4000-8000-0123456789ab";

#[derive(Debug)]
pub(crate) struct StubbedAws;

// === impl StubbedAws ===

#[async_trait]
impl KeyAssociations for StubbedAws {
    async fn associate(&self, _: &Authorized<AssociateKmsKey>, _: Instant) -> Answered<Accepted> {
        said(Accepted { aws_request_id: REQUEST_ID.into() })
    }

    async fn disassociate(&self, _: &Authorized<DisassociateKmsKey>, _: Instant) -> Answered<Accepted> {
        said(Accepted { aws_request_id: REQUEST_ID.into() })
    }
}

#[async_trait]
impl LogGroups for StubbedAws {
    async fn find(&self, _: &Access, _: &LogGroupName, _: Instant) -> Answered<Option<LogGroup>> {
        said(None)
    }

    async fn page(&self, _: &Access, _: Option<&str>, _: Option<&str>, _: Instant) -> Answered<LogGroupPage> {
        said(LogGroupPage::default())
    }
}

#[async_trait]
impl Keys for StubbedAws {
    async fn describe(&self, _: &Access, _: &KmsKeyId, _: Instant) -> Answered<Option<KeyMetadata>> {
        said(None)
    }

    async fn policy(&self, _: &Access, _: &KmsKeyArn, _: Instant) -> Answered<Option<Box<str>>> {
        said(None)
    }

    async fn tags(&self, _: &Access, _: &KmsKeyArn, _: Instant) -> Answered<Option<KeyTags>> {
        said(None)
    }
}

#[async_trait]
impl Roles for StubbedAws {
    async fn hub(&self, _: Instant) -> Result<Box<str>, UpstreamError> {
        Ok(ROLE.into())
    }

    async fn opens_without_external_id(&self, _: &Access, _: Instant) -> Answered<bool> {
        said(false)
    }

    async fn simulate(&self, _: &Access, _: &Trial, _: Instant) -> Answered<Vec<Simulated>> {
        said(Vec::new())
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
    ) -> Answered<Option<QueryId>> {
        said(None)
    }

    async fn look(&self, _: &Access, _: &QueryId, _: Instant) -> Answered<QueryRun> {
        said(QueryRun::Running)
    }
}

#[async_trait]
impl Quotas for StubbedAws {
    async fn granted(&self, _: &Access, _: Instant) -> Answered<Granted> {
        said(Granted::default())
    }
}

/// An answer, with what an answer of AWS's leaves behind for the audit log.
fn said<T>(result: T) -> Answered<T> {
    let via = Via {
        role_arn: Some(format!("arn:aws:iam::{}:role/{ROLE}", account(0)).into()),
        session_name: Some("bench-0a1b2c3d4e5f".into()),
        aws_request_ids: vec![REQUEST_ID.into()],
    };
    Answered { via, result: Ok(result) }
}
