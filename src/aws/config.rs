//! The settings of the AWS client, as plain values.

use std::{fmt, sync::Arc, time::Duration};

use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};

use crate::domain::aws::Region;

/// The settings of the AWS client.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Region of STS and of the service's own credentials.
    pub region: Region,
    /// The endpoints of the AWS services.
    pub endpoints: Endpoints,
    /// How long the session of an assumed role lasts: 15 minutes to 12 hours, or at most 1 hour if the
    /// service identity is itself a role.
    pub session_duration: Duration,
    /// Whether a session carries the name of the tenant or of the caller.
    pub attribution: SessionTagging,
    /// The timeouts of AWS calls.
    pub timeouts: Timeouts,
    /// The only certificate authorities of AWS's servers, in PEM; `None` trusts those of the system.
    pub authorities: Option<Arc<[u8]>>,
    /// The credentials of the service identity; `None` uses the SDK's default chain.
    pub service_principal: Option<ServiceCredentials>,
}

/// The URLs of the AWS services. For an absent one, the SDK uses AWS's endpoint of the Region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// For every service without a separate URL.
    pub all: Option<Box<str>>,
    /// For the Security Token Service.
    pub sts: Option<Box<str>>,
    /// For `CloudWatch` Logs.
    pub logs: Option<Box<str>>,
    /// For the Key Management Service.
    pub kms: Option<Box<str>>,
    /// For Identity and Access Management.
    pub iam: Option<Box<str>>,
    /// For Service Quotas.
    pub service_quotas: Option<Box<str>>,
}

/// Whose name a session carries in the tenant's `CloudTrail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionTagging {
    /// The tenant's name: all its callers share one session. This is the default.
    #[default]
    Tenant,
    /// The caller's subject: each caller has a separate session, with `SourceIdentity` set.
    Subject,
}

/// The timeouts of AWS calls. An earlier deadline of the call takes precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, including TLS.
    pub connect: Duration,
    /// For one attempt, from the first byte sent to the last byte of the response.
    pub attempt: Duration,
    /// For `AssumeRole`, including its retries.
    pub assume: Duration,
}

/// Long-lived credentials of the service identity, for the sandbox and for tests.
#[derive(Clone)]
pub struct ServiceCredentials {
    /// The access key id.
    pub access_key_id: Box<str>,
    /// The secret access key.
    pub secret_access_key: Box<str>,
}

// === impl Endpoints ===

impl Endpoints {
    /// Uses one URL for every service.
    #[must_use]
    pub fn from_endpoints(url: impl Into<Box<str>>) -> Self {
        Self { all: Some(url.into()), ..Self::default() }
    }

    pub(super) fn sts(&self) -> Option<&str> {
        self.sts.as_deref().or(self.all.as_deref())
    }

    pub(super) fn logs(&self) -> Option<&str> {
        self.logs.as_deref().or(self.all.as_deref())
    }

    pub(super) fn kms(&self) -> Option<&str> {
        self.kms.as_deref().or(self.all.as_deref())
    }

    pub(super) fn iam(&self) -> Option<&str> {
        self.iam.as_deref().or(self.all.as_deref())
    }

    pub(super) fn service_quotas(&self) -> Option<&str> {
        self.service_quotas.as_deref().or(self.all.as_deref())
    }
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            attempt: Duration::from_secs(10),
            assume: Duration::from_secs(10),
        }
    }
}

// === impl ServiceCredentials ===

impl ServiceCredentials {
    /// The credentials as an SDK provider.
    pub(super) fn provider(&self) -> SharedCredentialsProvider {
        let (id, secret) = (&*self.access_key_id, &*self.secret_access_key);
        SharedCredentialsProvider::new(Credentials::new(id, secret, None, None, "logkey-service"))
    }
}

impl fmt::Debug for ServiceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceCredentials(…)")
    }
}
