//! `CloudWatch` Logs Insights: a query as small as can be, and the key of its results.

use std::time::Instant;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::{
    config::Builder, operation::get_query_results::GetQueryResultsOutput, types::QueryStatus,
};

use super::{Aws, error::unreadable, session_policy::Reach};
use crate::{
    domain::{association::LogGroupName, authorization::Access, time::Timestamp},
    ports::{
        aws::{Answered, Refusal, UpstreamError},
        queries::{Queries, QueryId, QueryRun},
    },
};

/// Finds one event at most.
const QUERY: &str = "fields @timestamp | limit 1";

#[async_trait]
impl Queries for Aws {
    async fn start(
        &self,
        access: &Access,
        name: &LogGroupName,
        now: Timestamp,
        deadline: Instant,
    ) -> Answered<Option<QueryId>> {
        let now = now.as_micros().div_euclid(1_000_000);
        let client = &self.clients.of(&access.place().region).logs;
        let call = client
            .start_query()
            .log_group_name(name.as_str())
            .start_time(now.saturating_sub(1))
            .end_time(now)
            .query_string(QUERY)
            .limit(1);
        let answered = self.ask(access, Reach::LogGroups, deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        let Answered { via, result } = answered.await;
        let result = match result {
            Ok(answer) => {
                let id = answer.query_id().ok_or_else(|| unreadable("StartQuery"));
                id.map(|id| Some(QueryId(id.into())))
            }
            Err(UpstreamError::Refused { refusal: Refusal::LogGroupNotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        };
        Answered { via, result }
    }

    async fn look(&self, access: &Access, query: &QueryId, deadline: Instant) -> Answered<QueryRun> {
        let client = &self.clients.of(&access.place().region).logs;
        let call = client.get_query_results().query_id(&*query.0);
        let answered = self.ask(access, Reach::LogGroups, deadline, |credentials| {
            call.clone().customize().config_override(Builder::new().credentials_provider(credentials)).send()
        });
        let Answered { via, result } = answered.await;
        Answered { via, result: result.and_then(|answer| run(&answer)) }
    }
}

/// A status that is not known counts as one on the way to an end.
fn run(answer: &GetQueryResultsOutput) -> Result<QueryRun, UpstreamError> {
    let status = answer.status().ok_or_else(|| unreadable("GetQueryResults"))?;
    match status {
        QueryStatus::Complete => match answer.encryption_key().map(str::parse) {
            None => Ok(QueryRun::Complete { key: None }),
            Some(Ok(key)) => Ok(QueryRun::Complete { key: Some(key) }),
            // What cannot be read must not pass for "no key".
            Some(Err(_)) => Err(unreadable("GetQueryResults")),
        },
        QueryStatus::Cancelled | QueryStatus::Failed | QueryStatus::Timeout => {
            Ok(QueryRun::Ended { status: status.as_str().into() })
        }
        QueryStatus::Running | QueryStatus::Scheduled | QueryStatus::UnknownValue | _ => {
            Ok(QueryRun::Running)
        }
    }
}
