//! The log groups of one account and Region, the key of its query results, and its queries.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;

/// The maximum number of events kept for a stream; the oldest are dropped first.
const MAX_EVENTS: usize = 10_000;
/// The maximum number of queries kept; the oldest are dropped first.
const MAX_QUERIES: usize = 1_000;

/// The class of log groups whose retention AWS fixes.
pub(crate) const DELIVERY: &str = "DELIVERY";
/// The retention of such a log group in days (`retention_in_days` of `aws_cloudwatch_log_group`,
/// <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/cloudwatch_log_group>).
pub(crate) const DELIVERY_DAYS: i64 = 2;

/// The state of `CloudWatch` Logs in one account and Region.
#[derive(Debug, Default)]
pub(crate) struct LogGroups {
    /// By name; AWS lists log groups in this order.
    pub(crate) groups: BTreeMap<String, LogGroup>,
    /// The ARN of the key for query results.
    pub(crate) query_results_key: Option<String>,
    queries: HashMap<String, Query>,
    query_order: VecDeque<String>,
}

/// One log group.
#[derive(Clone, Debug)]
pub(crate) struct LogGroup {
    pub(crate) arn: String,
    pub(crate) created: Timestamp,
    /// `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`.
    pub(crate) class: String,
    pub(crate) retention_days: Option<i64>,
    pub(crate) kms_key: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) streams: BTreeMap<String, Stream>,
}

/// One log stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    /// In order of arrival.
    pub(crate) events: VecDeque<Event>,
    pub(crate) stored_bytes: u64,
}

/// One log event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Milliseconds since the epoch.
    pub(crate) timestamp: i64,
    pub(crate) message: String,
}

/// One query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// The key of query results at the time the query started.
    pub(crate) encryption_key: Option<String>,
    /// How many more polls find it running.
    pub(crate) running: u32,
    /// The status it ends with.
    pub(crate) end: String,
}

// === impl LogGroups ===

impl LogGroups {
    /// Stores a query under its id.
    pub(crate) fn put_query(&mut self, id: String, query: Query) {
        while self.query_order.len() >= MAX_QUERIES {
            if let Some(oldest) = self.query_order.pop_front() {
                self.queries.remove(&oldest);
            }
        }
        self.query_order.push_back(id.clone());
        self.queries.insert(id, query);
    }

    /// The query with this id.
    pub(crate) fn query(&mut self, id: &str) -> Option<&mut Query> {
        self.queries.get_mut(id)
    }
}

// === impl LogGroup ===

impl LogGroup {
    /// A log group without a key, tags, streams, or a retention unless its class has a fixed one.
    pub(crate) fn new(arn: String, class: String, created: Timestamp) -> Self {
        let retention_days = (class == DELIVERY).then_some(DELIVERY_DAYS);
        Self {
            arn,
            created,
            class,
            retention_days,
            kms_key: None,
            tags: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }
}

// === impl Stream ===

impl Stream {
    /// Appends one event.
    pub(crate) fn push(&mut self, event: Event) {
        while self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        let bytes = u64::try_from(event.message.len()).unwrap_or(u64::MAX);
        self.stored_bytes = self.stored_bytes.saturating_add(bytes);
        self.events.push_back(event);
    }
}
