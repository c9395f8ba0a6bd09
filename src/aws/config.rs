//! Settings of the way to AWS: plain values that whoever starts the service fills in.

use std::{fmt, time::Duration};

use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};

use crate::domain::aws::Region;

/// How AWS is reached and in whose name.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Region of STS and of the hub credentials.
    pub region: Region,
    /// Where the services are; nothing for AWS's own endpoints.
    pub endpoints: Endpoints,
    /// How long an assumed role's session lasts: 15 minutes to 12 hours, and at most 1 hour where
    /// the hub credentials are a role's themselves.
    pub session_duration: Duration,
    /// Whose name a session bears.
    pub attribution: SessionTagging,
    /// How long to wait for AWS.
    pub timeouts: Timeouts,
    /// The credentials that assume roles; none for the SDK's default chain.
    pub service_principal: Option<ServiceCredentials>,
}

/// Where the services are, as URLs; what is absent is found by Region as AWS documents it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Of every service that has none of its own below.
    pub all: Option<Box<str>>,
    /// Of the Security Token Service.
    pub sts: Option<Box<str>>,
    /// Of `CloudWatch` Logs.
    pub logs: Option<Box<str>>,
    /// Of the Key Management Service.
    pub kms: Option<Box<str>>,
    /// Of Identity and Access Management.
    pub iam: Option<Box<str>>,
    /// Of Service Quotas.
    pub service_quotas: Option<Box<str>>,
}

/// Whose name a session bears in the tenant's `CloudTrail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionTagging {
    /// The tenant's: one session for all its callers.
    #[default]
    Tenant,
    /// The caller's: one session for each, with `SourceIdentity` set.
    Subject,
}

/// How long to wait for AWS. The deadline of a call wins where it is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For one attempt, from the first byte sent to the last byte of the answer.
    pub attempt: Duration,
    /// For an `AssumeRole` with its repetitions.
    pub assume: Duration,
}

/// Long-lived credentials that are handed in: for the sandbox and for tests.
#[derive(Clone)]
pub struct ServiceCredentials {
    /// The access key id.
    pub access_key_id: Box<str>,
    /// The secret of that.
    pub secret_access_key: Box<str>,
}

// === impl Endpoints ===

impl Endpoints {
    /// Every service at one place.
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

// === impl HubCredentials ===

impl ServiceCredentials {
    /// As the SDK takes them.
    pub(super) fn provider(&self) -> SharedCredentialsProvider {
        let (id, secret) = (&*self.access_key_id, &*self.secret_access_key);
        SharedCredentialsProvider::new(Credentials::new(id, secret, None, None, "logkey-hub"))
    }
}

impl fmt::Debug for ServiceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubCredentials(…)")
    }
}
