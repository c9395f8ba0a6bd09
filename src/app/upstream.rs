//! The ports to AWS.

use std::{fmt, sync::Arc};

use crate::{
    aws::Aws,
    ports::{KeyAssociations, Keys, LogGroups, Queries, Quotas, Roles},
};

/// The ports to AWS, where they are to be others than the adapter of [`crate::aws`].
#[derive(Clone)]
pub struct AwsPorts {
    /// Sets keys and takes them away.
    pub associations: Arc<dyn KeyAssociations>,
    /// Reads log groups.
    pub log_groups: Arc<dyn LogGroups>,
    /// Reads keys.
    pub keys: Arc<dyn Keys>,
    /// Runs queries.
    pub queries: Arc<dyn Queries>,
    /// Knows the roles themselves.
    pub roles: Arc<dyn Roles>,
    /// Reads quotas.
    pub quotas: Arc<dyn Quotas>,
}

// === impl Upstream ===

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
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}
