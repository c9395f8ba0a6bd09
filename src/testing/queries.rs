//! A fake of queries: each runs as it was told to, and it is remembered which log groups were queried.

use std::{sync::Mutex, time::Instant};

use async_trait::async_trait;

use crate::{
    domain::{arn::KmsKeyArn, association::LogGroupName, audit::Via, authorization::Access, time::Timestamp},
    ports::{
        Answered, UpstreamError,
        aws::{AwsAnswer, Refusal},
        queries::{Queries, QueryId, QueryRun},
    },
};

/// Refuses every query until it is told what they come to.
#[derive(Debug, Default)]
pub struct FakeQueries {
    plan: Mutex<Option<(u32, QueryRun)>>,
    left: Mutex<u32>,
    throttles: Mutex<u32>,
    queried: Mutex<Vec<LogGroupName>>,
}

// === impl FakeQueries ===

impl FakeQueries {
    /// Stores results under this key from now on, after so many looks that find a query running.
    ///
    /// # Panics
    ///
    /// If `key` is no key's ARN, or a test panicked while it was told.
    pub fn show(&self, key: Option<&str>, running: u32) {
        let key: Option<KmsKeyArn> = key.map(|key| key.parse().unwrap());
        *self.plan.lock().unwrap() = Some((running, QueryRun::Complete { key }));
    }

    /// Ends queries in this way from now on.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn end_as(&self, status: &str) {
        *self.plan.lock().unwrap() = Some((0, QueryRun::Ended { status: status.into() }));
    }

    /// Throttles the next calls.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn throttle(&self, times: u32) {
        *self.throttles.lock().unwrap() = times;
    }

    /// The log groups that were queried.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn queried(&self) -> Vec<LogGroupName> {
        self.queried.lock().unwrap().clone()
    }

    fn throttled(&self) -> bool {
        let mut left = self.throttles.lock().unwrap();
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
    ) -> Answered<Option<QueryId>> {
        if self.throttled() {
            return said(Err(UpstreamError::Throttled { answer: AwsAnswer::default() }));
        }
        let plan = self.plan.lock().unwrap().clone();
        said(match plan {
            Some((running, _)) => {
                self.queried.lock().unwrap().push(name.clone());
                *self.left.lock().unwrap() = running;
                Ok(Some(QueryId("query-1".into())))
            }
            None => Err(UpstreamError::Refused {
                refusal: Refusal::RoleLacksLogs,
                answer: AwsAnswer { code: "AccessDeniedException".into(), ..AwsAnswer::default() },
            }),
        })
    }

    async fn look(&self, _: &Access, _: &QueryId, _: Instant) -> Answered<QueryRun> {
        if self.throttled() {
            return said(Err(UpstreamError::Throttled { answer: AwsAnswer::default() }));
        }
        let mut left = self.left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return said(Ok(QueryRun::Running));
        }
        let plan = self.plan.lock().unwrap().clone();
        said(Ok(plan.map_or(QueryRun::Running, |(_, end)| end)))
    }
}

fn said<T>(result: Result<T, UpstreamError>) -> Answered<T> {
    let via = Via {
        role_arn: Some("arn:aws:iam::111122223333:role/LogKey".into()),
        session_name: Some("session".into()),
        aws_request_ids: vec!["aws-query".into()],
    };
    Answered { via, result }
}
