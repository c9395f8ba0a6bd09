//! Reads the resources of a pass from AWS.

use std::time::Duration;

use super::{Found, Pass};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{LogGroupName, Resource, Target},
        fleet::LocatedRule,
        time::Timestamp,
    },
    ports::LogGroupPage,
    service::{
        context::Context,
        error::{AwsCallError, Error},
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
                    self.consider(Found::group(resource, group.key, group.created)).await;
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
        let readable =
            |target: &&Target| cx.can_read(self.access.tenant(), &self.resource((*target).clone()));
        let names = targets.iter().filter(readable).filter_map(|target| match target {
            Target::LogGroup(name) => Some(name.clone()),
            Target::QueryResults => None,
        });
        let names: Vec<LogGroupName> = names.collect();
        let deadline = cx.call.deadline;
        // One that does not exist any more is omitted.
        for group in log_groups::find_many(cx, self.access, &names, deadline).await? {
            let resource = self.resource(Target::LogGroup(group.name));
            self.consider(Found::group(resource, group.key, group.created)).await;
        }
        if targets.contains(&Target::QueryResults) {
            self.query_results(cx).await;
        }
        Ok(())
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
        self.consider(Found { resource, key, is_key_known, created: None }).await;
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

// === impl Found ===

impl Found {
    /// A log group as AWS listed it.
    fn group(resource: Resource, key: Option<KmsKeyArn>, created: Option<Timestamp>) -> Self {
        Self { resource, key, is_key_known: true, created }
    }
}
