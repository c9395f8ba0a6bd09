//! `CloudWatch` Logs: reads log groups.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::{operation::describe_log_groups::DescribeLogGroupsOutput, types};

use super::{client::Aws, error::unreadable, operation::with_credentials, session_policy::SessionScope};
use crate::{
    domain::{arn::KmsKeyArn, association::LogGroupName, authorization::Access, time::Timestamp},
    ports::aws::{AwsResponse, LogGroup, LogGroupPage, LogGroups, UpstreamError},
};

/// The largest page:
/// [`DescribeLogGroups`](https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html).
const PAGE: i32 = 50;
const DAY: Duration = Duration::from_hours(24);

#[async_trait]
impl LogGroups for Aws {
    /// Uses the name as a prefix: results are sorted by name, so the log group itself comes first.
    /// `logGroupIdentifiers` would work too, but not every AWS emulator supports it.
    async fn find(
        &self,
        access: &Access,
        name: &LogGroupName,
        deadline: Instant,
    ) -> AwsResponse<Option<LogGroup>> {
        let call =
            self.regional(access).logs.describe_log_groups().log_group_name_prefix(name.as_str()).limit(PAGE);
        let send = with_credentials!(aws_sdk_cloudwatchlogs, call);
        let response = self.execute(access, SessionScope::LogGroups, deadline, send).await;
        response.and_then(|answer| exact_match(answer.log_groups(), name))
    }

    /// AWS lists the log groups of `logGroupIdentifiers`. An emulator that ignores them lists others.
    async fn find_many(
        &self,
        access: &Access,
        names: &[LogGroupName],
        deadline: Instant,
    ) -> AwsResponse<Vec<LogGroup>> {
        let identifiers = names.iter().map(|name| name.as_str().to_owned()).collect();
        let call =
            self.regional(access).logs.describe_log_groups().set_log_group_identifiers(Some(identifiers));
        let send = with_credentials!(aws_sdk_cloudwatchlogs, call);
        let response = self.execute(access, SessionScope::LogGroups, deadline, send).await;
        response.map(|answer| {
            let mut groups = page(&answer).groups;
            groups.retain(|group| names.contains(&group.name));
            groups
        })
    }

    async fn page(
        &self,
        access: &Access,
        prefix: Option<&str>,
        token: Option<&str>,
        deadline: Instant,
    ) -> AwsResponse<LogGroupPage> {
        let call = self
            .regional(access)
            .logs
            .describe_log_groups()
            .set_log_group_name_prefix(prefix.filter(|prefix| !prefix.is_empty()).map(str::to_owned))
            .set_next_token(token.map(str::to_owned))
            .limit(PAGE);
        let send = with_credentials!(aws_sdk_cloudwatchlogs, call);
        let response = self.execute(access, SessionScope::LogGroups, deadline, send).await;
        response.map(|answer| page(&answer))
    }
}

/// The log group with exactly this name, among those whose names begin with it.
fn exact_match(groups: &[types::LogGroup], name: &LogGroupName) -> Result<Option<LogGroup>, UpstreamError> {
    let found = groups.iter().find(|group| group.log_group_name() == Some(name.as_str()));
    let read = found.map(|group| log_group(group).ok_or_else(|| unreadable("DescribeLogGroups")));
    read.transpose()
}

/// The log groups of a page. One that cannot be parsed is skipped and logged.
fn page(answer: &DescribeLogGroupsOutput) -> LogGroupPage {
    LogGroupPage {
        groups: answer.log_groups().iter().filter_map(log_group).collect(),
        next: answer.next_token().map(Into::into),
    }
}

fn log_group(group: &types::LogGroup) -> Option<LogGroup> {
    let read = || {
        Some(LogGroup {
            name: group.log_group_name()?.parse().ok()?,
            key: key(group.kms_key_id())?,
            class: group.log_group_class().map(|class| class.as_str().into()),
            retention: group
                .retention_in_days()
                .and_then(|days| u32::try_from(days).ok())
                .map(|days| DAY.saturating_mul(days)),
            created: group.creation_time().map(|millis| Timestamp::from_micros(millis.saturating_mul(1_000))),
        })
    };
    let log_group = read();
    if log_group.is_none() {
        tracing::warn!(
            aws.log_group = ?group.log_group_name(),
            aws.kms_key_id = ?group.kms_key_id(),
            "skipped a log group in AWS's response, because it cannot be parsed",
        );
    }
    log_group
}

/// Returns `None` if the text is not the ARN of a key: that must not count as "no key".
#[expect(clippy::option_option, reason = "the outer one tells whether the text could be parsed")]
fn key(text: Option<&str>) -> Option<Option<KmsKeyArn>> {
    text.map(|text| text.parse().ok()).map_or(Some(None), |key| key.map(Some))
}
