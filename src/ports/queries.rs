//! Queries of `CloudWatch` Logs Insights. They are the only way to see which key AWS uses for query results.

use std::time::Instant;

use async_trait::async_trait;

use super::aws::AwsResponse;
use crate::domain::{arn::KmsKeyArn, association::LogGroupName, authorization::Access, time::Timestamp};

/// Runs queries over log groups.
#[async_trait]
pub trait Queries: Send + Sync + 'static {
    /// Starts a query over the last second of a log group with one attempt, which ends by `deadline`. `None`
    /// if there is no such log group.
    async fn start(
        &self,
        access: &Access,
        name: &LogGroupName,
        now: Timestamp,
        deadline: Instant,
    ) -> AwsResponse<Option<QueryId>>;

    /// Reads the state of a query with one attempt, which ends by `deadline`.
    async fn poll(&self, access: &Access, query: &QueryId, deadline: Instant) -> AwsResponse<QueryState>;
}

/// AWS's id of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryId(pub Box<str>);

/// The state of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryState {
    /// The query is scheduled or running.
    Running,
    /// The query is complete and its results are stored.
    Complete {
        /// The key of the results. `None` is the AWS-owned default.
        key: Option<KmsKeyArn>,
    },
    /// The query ended without results, for example because it failed.
    Ended {
        /// The status, as AWS names it.
        status: Box<str>,
    },
}
