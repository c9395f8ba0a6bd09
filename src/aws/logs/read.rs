//! Converts the responses of `DescribeLogGroups` to domain types.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::{operation::describe_log_groups::DescribeLogGroupsOutput, types};

use crate::{
    aws::error::unreadable,
    domain::{arn::KmsKeyArn, association::LogGroupName, time::Timestamp},
    ports::aws::{LogGroup, LogGroupPage, UpstreamError},
};

const DAY: Duration = Duration::from_hours(24);

/// The log group with exactly this name, among those whose names begin with it.
pub(super) fn exact_match(
    groups: &[types::LogGroup],
    name: &LogGroupName,
) -> Result<Option<LogGroup>, UpstreamError> {
    let found = groups.iter().find(|group| group.log_group_name() == Some(name.as_str()));
    let read = found.map(|group| log_group(group).ok_or_else(|| unreadable("DescribeLogGroups")));
    read.transpose()
}

/// The log groups of a page. One that cannot be parsed is skipped and logged.
pub(super) fn page(answer: &DescribeLogGroupsOutput) -> LogGroupPage {
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
