//! `CloudWatch` Logs Insights: starts the smallest possible query, and reads the key of its results.

use std::time::Instant;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::{operation::get_query_results::GetQueryResultsOutput, types::QueryStatus};

use super::{client::Aws, error::unreadable, operation::with_credentials, session_policy::SessionScope};
use crate::{
    domain::{association::LogGroupName, authorization::Access, time::Timestamp},
    ports::{
        aws::{AwsResponse, Refusal, UpstreamError},
        queries::{Queries, QueryId, QueryState},
    },
};

/// Returns at most one event.
const QUERY: &str = "fields @timestamp | limit 1";

#[async_trait]
impl Queries for Aws {
    async fn start(
        &self,
        access: &Access,
        name: &LogGroupName,
        now: Timestamp,
        deadline: Instant,
    ) -> AwsResponse<Option<QueryId>> {
        let now = now.as_micros().div_euclid(1_000_000);
        let call = self
            .regional(access)
            .logs
            .start_query()
            .log_group_name(name.as_str())
            .start_time(now.saturating_sub(1))
            .end_time(now)
            .query_string(QUERY)
            .limit(1);
        let send = with_credentials!(aws_sdk_cloudwatchlogs, call);
        let AwsResponse { via, result } = self.execute(access, SessionScope::LogGroups, deadline, send).await;
        let result = match result {
            Ok(answer) => {
                let id = answer.query_id().ok_or_else(|| unreadable("StartQuery"));
                id.map(|id| Some(QueryId(id.into())))
            }
            Err(UpstreamError::Refused { refusal: Refusal::LogGroupNotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        };
        AwsResponse { via, result }
    }

    async fn poll(&self, access: &Access, query: &QueryId, deadline: Instant) -> AwsResponse<QueryState> {
        let call = self.regional(access).logs.get_query_results().query_id(&*query.0);
        let send = with_credentials!(aws_sdk_cloudwatchlogs, call);
        let response = self.execute(access, SessionScope::LogGroups, deadline, send).await;
        response.and_then(|answer| query_state(&answer))
    }
}

/// The state of a query. An unknown status counts as running.
fn query_state(answer: &GetQueryResultsOutput) -> Result<QueryState, UpstreamError> {
    let status = answer.status().ok_or_else(|| unreadable("GetQueryResults"))?;
    match status {
        QueryStatus::Complete => match answer.encryption_key().map(str::parse) {
            None => Ok(QueryState::Complete { key: None }),
            Some(Ok(key)) => Ok(QueryState::Complete { key: Some(key) }),
            // An unparsable key must not count as "no key".
            Some(Err(_)) => Err(unreadable("GetQueryResults")),
        },
        QueryStatus::Cancelled | QueryStatus::Failed | QueryStatus::Timeout => {
            Ok(QueryState::Ended { status: status.as_str().into() })
        }
        QueryStatus::Running | QueryStatus::Scheduled | QueryStatus::UnknownValue | _ => {
            Ok(QueryState::Running)
        }
    }
}
