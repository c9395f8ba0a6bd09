//! A fake of queries, which run as the test configures them. It records the queried log groups.

use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::LogGroupName,
        audit::AwsCallRecord,
        authorization::Access,
        refusal::{AccessDenial, DeniedAction},
        time::Timestamp,
    },
    ports::{
        AwsResponse, UpstreamError,
        aws::{AwsErrorDetails, Refusal},
        queries::{Queries, QueryId, QueryState},
    },
};

/// Refuses every query until a result or a status is set.
#[derive(Debug, Default)]
pub struct FakeQueries {
    plan: Mutex<Option<(u32, QueryState)>>,
    left: Mutex<u32>,
    throttles: Mutex<u32>,
    queried: Mutex<Vec<LogGroupName>>,
}

// === impl FakeQueries ===

impl FakeQueries {
    /// Completes every further query with results under this key, after `running` polls that find it running.
    ///
    /// # Panics
    ///
    /// If `key` is not a key's ARN, or if another thread panicked while it held the lock.
    pub fn set_result(&self, key: Option<&str>, running: u32) {
        let key: Option<KmsKeyArn> = key.map(|key| key.parse().unwrap());
        *self.plan.lock() = Some((running, QueryState::Complete { key }));
    }

    /// Ends every further query with this status.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn set_status(&self, status: &str) {
        *self.plan.lock() = Some((0, QueryState::Ended { status: status.into() }));
    }

    /// Throttles the next `times` calls.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn throttle(&self, times: u32) {
        *self.throttles.lock() = times;
    }

    /// The queried log groups, in order.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn queried(&self) -> Vec<LogGroupName> {
        self.queried.lock().clone()
    }

    fn throttled(&self) -> bool {
        let mut left = self.throttles.lock();
        let throttled = *left > 0;
        *left = left.saturating_sub(1);
        throttled
    }
}

#[async_trait]
impl Queries for FakeQueries {
    async fn start(
        &self,
        _: &Access,
        name: &LogGroupName,
        _: Timestamp,
        _: Instant,
    ) -> AwsResponse<Option<QueryId>> {
        if self.throttled() {
            return respond(Err(UpstreamError::Throttled { answer: AwsErrorDetails::default() }));
        }
        let plan = self.plan.lock().clone();
        respond(match plan {
            Some((running, _)) => {
                self.queried.lock().push(name.clone());
                *self.left.lock() = running;
                Ok(Some(QueryId("query-1".into())))
            }
            None => Err(UpstreamError::Refused {
                refusal: Refusal::Denied(AccessDenial::of(DeniedAction::Logs)),
                answer: AwsErrorDetails {
                    code: "AccessDeniedException".into(),
                    ..AwsErrorDetails::default()
                },
            }),
        })
    }

    async fn poll(&self, _: &Access, _: &QueryId, _: Instant) -> AwsResponse<QueryState> {
        if self.throttled() {
            return respond(Err(UpstreamError::Throttled { answer: AwsErrorDetails::default() }));
        }
        let mut left = self.left.lock();
        if *left > 0 {
            *left -= 1;
            return respond(Ok(QueryState::Running));
        }
        let plan = self.plan.lock().clone();
        respond(Ok(plan.map_or(QueryState::Running, |(_, end)| end)))
    }
}

fn respond<T>(result: Result<T, UpstreamError>) -> AwsResponse<T> {
    let via = AwsCallRecord {
        role_arn: Some("arn:aws:iam::111122223333:role/LogKey".into()),
        session_name: Some("session".into()),
        aws_request_ids: vec!["aws-query".into()],
    };
    AwsResponse { via, result }
}
