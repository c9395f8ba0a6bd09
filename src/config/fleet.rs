//! `[fleet]`: bulk jobs and encryption rules.

use std::time::Duration;

use super::{section::Section, value};
use crate::{aws::QueueUrl, domain::fleet::FleetSettings};

/// The limits of the interval. History has one point per day, so rules are evaluated at least once a day.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));
/// The limits of the retention.
const RETENTIONS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(3_650 * 24));

/// The settings of bulk jobs and encryption rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The intervals and limits.
    pub settings: FleetSettings,
    /// `[fleet.events]`: the URL of the SQS queue with the events of log groups.
    pub queue_url: Option<QueueUrl>,
}

/// Reads `[fleet]`.
pub(super) fn read(section: &Section<'_>) -> Fleet {
    let default = FleetSettings::default();
    let max_items = section.optional("max_items", value::count);
    let max_open_jobs = section.optional("max_open_jobs", value::count);
    let events = section.optional_section("events");
    Fleet {
        settings: FleetSettings {
            interval: section.or_default(
                "interval",
                default.interval,
                value::duration_within(INTERVALS.0, INTERVALS.1),
            ),
            max_items: max_items.map_or(default.max_items, |count| u64::from(count.get())),
            max_open_jobs: max_open_jobs.map_or(default.max_open_jobs, std::num::NonZero::get),
            retention: section.or_default(
                "retention",
                default.retention,
                value::duration_within(RETENTIONS.0, RETENTIONS.1),
            ),
        },
        queue_url: events.and_then(|events| {
            let url = "\"https://sqs.eu-west-1.amazonaws.com/999999999999/logkey-events\"";
            events.required("queue_url", url, value::parsed)
        }),
    }
}
