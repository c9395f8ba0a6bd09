//! The port through which the session cache gets sessions, with its input and output. [`super::client::Sts`]
//! implements it.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_sdk_sts::config::Credentials;

use super::session_error::SessionError;
use crate::{
    aws::session_name::SessionName,
    domain::{
        aws::{ExternalId, RoleArn},
        tenant::TenantId,
    },
};

/// Assumes roles.
#[async_trait]
pub(in crate::aws) trait AssumeRole: Send + Sync + 'static {
    /// Requests one session, within the implementation's own timeout.
    async fn assume(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError>;
}

/// The input of one `AssumeRole` call.
#[derive(Debug)]
pub(in crate::aws) struct AssumeRoleInput {
    pub(in crate::aws) tenant: TenantId,
    pub(in crate::aws) role: RoleArn,
    pub(in crate::aws) external_id: ExternalId,
    pub(in crate::aws) name: SessionName,
    /// Whether the name is also sent as `SourceIdentity`.
    pub(in crate::aws) attributed: bool,
    /// The session policy, as JSON.
    pub(in crate::aws) policy: Box<str>,
    /// The session policy if the first one is too large, as JSON.
    pub(in crate::aws) short_policy: Box<str>,
}

/// A session from STS.
pub(in crate::aws) struct AssumedSession {
    pub(in crate::aws) credentials: Credentials,
    /// How long it lasts, counted from now.
    pub(in crate::aws) lifetime: Duration,
}

// === impl AssumedSession ===

impl fmt::Debug for AssumedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumedSession").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}
