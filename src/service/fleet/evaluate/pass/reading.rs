//! Reads the resources of a pass from AWS.

use std::time::Duration;

use super::{Found, Pass};
use crate::{
    domain::{
        association::{LogGroupName, Target},
        fleet::LocatedRule,
    },
    ports::{LogGroup, LogGroupPage},
    service::{
        context::Context,
        error::{AwsCallError, Error, RequestError},
        shared::{log_groups, observation_buffer::observation},
    },
};

/// How often a read is tried while AWS is unavailable.
const MAX_ATTEMPTS: u32 = 4;
/// The wait before such an attempt, which doubles.
const RETRY_AFTER: Duration = Duration::from_millis(500);

// === impl Pass ===

impl Pass<'_> {
    pub(super) async fn all(&mut self, cx: &mut Context) -> Result<(), Error> {
        let mut token: Option<Box<str>> = None;
        loop {
            let location = self.access.location();
            let at = cx.state.fact_time(location).await;
            let LogGroupPage { groups, next } = self.page(cx, token.as_deref()).await?;
            cx.state.observations.add(groups.iter().map(|group| observation(location, group, at)));
            for group in groups {
                let resource = self.resource(Target::LogGroup(group.name));
                if cx.can_read(self.access.tenant(), &resource) {
                    self.consider(Found { resource, key: group.key, is_key_known: true }).await;
                }
            }
            token = next;
            if token.is_none() {
                break;
            }
        }
        self.query_results(cx).await;
        Ok(())
    }

    pub(super) async fn targets(&mut self, cx: &mut Context, targets: &[Target]) -> Result<(), Error> {
        for target in targets {
            let Target::LogGroup(name) = target else {
                self.query_results(cx).await;
                continue;
            };
            let resource = self.resource(target.clone());
            if !cx.can_read(self.access.tenant(), &resource) {
                continue;
            }
            if let Some(group) = self.group(cx, name).await? {
                self.consider(Found { resource, key: group.key, is_key_known: true }).await;
            }
        }
        Ok(())
    }

    /// The log group. `None` if there is none any more.
    async fn group(&self, cx: &mut Context, name: &LogGroupName) -> Result<Option<LogGroup>, Error> {
        let deadline = cx.call.deadline;
        match log_groups::find(cx, self.access, name, deadline).await {
            Ok(group) => Ok(Some(group)),
            Err(Error::Request(RequestError::LogGroupNotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Considers the query results, whose key only the service's own record has.
    async fn query_results(&mut self, cx: &Context) {
        let selects = |it: &LocatedRule<'_>| it.rule.definition.selection.query_results;
        if !self.access.grant().query_results || !self.located.iter().any(selects) {
            return;
        }
        let resource = self.resource(Target::QueryResults);
        let mut records = log_groups::load_records(cx, std::slice::from_ref(&resource)).await;
        let record = records.pop();
        let is_key_known = record.is_some();
        let key = record.and_then(|record| record.key);
        self.consider(Found { resource, key, is_key_known }).await;
    }

    /// Reads one page, and tries again while that can help.
    async fn page(&self, cx: &mut Context, token: Option<&str>) -> Result<LogGroupPage, Error> {
        let (mut attempts, mut wait) = (0, RETRY_AFTER);
        loop {
            self.evaluation.extend_deadline(cx);
            let deadline = cx.call.deadline;
            let error = match log_groups::fetch_page(cx, self.access, None, token, deadline).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            if let Error::Aws(AwsCallError::BudgetExhausted { retry_after }) = &error {
                tokio::time::sleep(*retry_after).await;
                continue;
            }
            let is_transient = matches!(
                error,
                Error::Aws(AwsCallError::Unavailable { .. } | AwsCallError::DeadlineBeforeAws)
            );
            if !is_transient || attempts == MAX_ATTEMPTS {
                return Err(error);
            }
            attempts += 1;
            wait *= 2;
            tokio::time::sleep(wait).await;
        }
    }
}
