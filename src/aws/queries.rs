//! `CloudWatch` Logs Insights: starts the smallest possible query, and reads the key of its results.

use std::time::Instant;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::{
    config::Builder, operation::get_query_results::GetQueryResultsOutput, types::QueryStatus,
};

use super::{Aws, error::unreadable, session_policy::SessionScope};
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
        let client = &self.clients.of(&access.location().region).logs;
        let call = client
            .start_query()
            .log_group_name(name.as_str())
            .start_time(now.saturating_sub(1))
            .end_time(now)
            .query_string(QUERY)
            .limit(1);
        let response = self.execute(access, SessionScope::LogGroups, deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        let AwsResponse { via, result } = response.await;
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
        let client = &self.clients.of(&access.location().region).logs;
        let call = client.get_query_results().query_id(&*query.0);
        let response = self.execute(access, SessionScope::LogGroups, deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        let AwsResponse { via, result } = response.await;
        AwsResponse { via, result: result.and_then(|answer| query_state(&answer)) }
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
