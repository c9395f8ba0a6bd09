//! The ports to AWS, as one value that tests and benchmarks can replace.

use std::{fmt, sync::Arc};

use crate::{
    aws::Aws,
    ports::{KeyAssociations, Keys, LogGroups, Queries, Quotas, Roles},
};

/// The ports to AWS. The default implementation of each is [`Aws`].
#[derive(Clone)]
pub struct AwsPorts {
    /// Sets and removes keys.
    pub associations: Arc<dyn KeyAssociations>,
    /// Reads log groups.
    pub log_groups: Arc<dyn LogGroups>,
    /// Reads keys and their policies.
    pub keys: Arc<dyn Keys>,
    /// Runs queries of `CloudWatch` Logs Insights.
    pub queries: Arc<dyn Queries>,
    /// Reads the service identity, and tests the trust policy and permissions of roles.
    pub roles: Arc<dyn Roles>,
    /// Reads quotas from Service Quotas.
    pub quotas: Arc<dyn Quotas>,
}

// === impl AwsPorts ===

impl From<Arc<Aws>> for AwsPorts {
    fn from(aws: Arc<Aws>) -> Self {
        Self {
            associations: aws.clone(),
            log_groups: aws.clone(),
            keys: aws.clone(),
            queries: aws.clone(),
            roles: aws.clone(),
            quotas: aws,
        }
    }
}

impl fmt::Debug for AwsPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsPorts").finish_non_exhaustive()
    }
}
