//! Queries over log groups, for the one thing that nothing else tells: under which key their results
//! are stored.

use std::time::Instant;

use async_trait::async_trait;

use super::aws::AwsResponse;
use crate::domain::{arn::KmsKeyArn, association::LogGroupName, authorization::Access, time::Timestamp};

/// Runs queries.
#[async_trait]
pub trait Queries: Send + Sync + 'static {
    /// Begins a query over the last second of a log group, by one attempt that ends by `deadline`; none
    /// where there is no such log group.
    async fn start(
        &self,
        access: &Access,
        name: &LogGroupName,
        now: Timestamp,
        deadline: Instant,
    ) -> AwsResponse<Option<QueryId>>;

    /// How a query fares, by one attempt that ends by `deadline`.
    async fn poll(&self, access: &Access, query: &QueryId, deadline: Instant) -> AwsResponse<QueryState>;
}

/// AWS's name for a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryId(pub Box<str>);

/// How a query fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryState {
    /// It has not come to its end.
    Running,
    /// Its results are stored.
    Complete {
        /// The key that they are stored under; none is the AWS-owned default.
        key: Option<KmsKeyArn>,
    },
    /// It came to another end.
    Ended {
        /// Which, in AWS's own word.
        status: Box<str>,
    },
}
