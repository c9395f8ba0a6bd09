//! AWS's API quotas, with a token bucket for each operation, account and Region.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Deserialize;

/// AWS's published quotas, in calls per second. AWS publishes none for `DisassociateKmsKey`; the sandbox
/// uses that of `AssociateKmsKey`.
const PUBLISHED: [(&str, f64); 11] = [
    ("AssociateKmsKey", 5.0),
    ("DisassociateKmsKey", 5.0),
    ("DescribeLogGroups", 10.0),
    ("CreateLogStream", 50.0),
    ("PutLogEvents", 5000.0),
    ("StartQuery", 10.0),
    ("GetQueryResults", 10.0),
    ("DescribeKey", 2000.0),
    ("GetKeyPolicy", 1000.0),
    ("AssumeRole", 600.0),
    ("GetResources", 15.0),
];

/// One quota of `CloudWatch` Logs as Service Quotas lists it. AWS publishes the codes only of quotas that can
/// be raised; the other codes here are invented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaEntry {
    pub(crate) operation: &'static str,
    pub(crate) code: &'static str,
    /// AWS's default.
    pub(crate) per_second: f64,
    pub(crate) adjustable: bool,
}

/// The quotas that Service Quotas lists, in order of their names. It lists none for `DisassociateKmsKey`.
pub(crate) const LISTED: [QuotaEntry; 6] = [
    quota_entry("AssociateKmsKey", "L-00000001", 5.0, false),
    quota_entry("CreateLogStream", "L-76507CEF", 50.0, true),
    quota_entry("DescribeLogGroups", "L-4284EEDE", 10.0, true),
    quota_entry("GetQueryResults", "L-00000002", 10.0, false),
    quota_entry("PutLogEvents", "L-7E1FAE88", 5000.0, true),
    quota_entry("StartQuery", "L-00000003", 10.0, false),
];

const fn quota_entry(
    operation: &'static str,
    code: &'static str,
    per_second: f64,
    adjustable: bool,
) -> QuotaEntry {
    QuotaEntry { operation, code, per_second, adjustable }
}

/// The rate of one operation.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The sustained rate in calls per second.
    pub per_second: f64,
    /// The number of calls allowed at once after a pause; the calls of one second if absent.
    pub burst: Option<f64>,
}

/// The quotas of an account by operation. Other operations have no quota.
#[derive(Clone, Debug, PartialEq)]
pub struct Quotas(BTreeMap<String, Rate>);

/// The token buckets of one account and Region.
#[derive(Debug, Default)]
pub(crate) struct TokenBuckets(HashMap<String, Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

// === impl Quotas ===

impl Quotas {
    /// AWS's published quotas.
    #[must_use]
    pub fn published_defaults() -> Self {
        let rate = |per_second| Rate { per_second, burst: None };
        let rows = PUBLISHED.iter();
        Self(rows.map(|(operation, per_second)| ((*operation).to_owned(), rate(*per_second))).collect())
    }

    /// No quotas.
    #[must_use]
    pub fn off() -> Self {
        Self(BTreeMap::new())
    }

    /// The quota of an operation in calls per second, if it has one.
    pub(crate) fn per_second(&self, operation: &str) -> Option<f64> {
        self.0.get(operation).map(|rate| rate.per_second)
    }

    /// Replaces the rate of one operation.
    #[must_use]
    pub fn with(mut self, operation: &str, rate: Rate) -> Self {
        self.0.insert(operation.to_owned(), rate);
        self
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self::published_defaults()
    }
}

// === impl Rate ===

impl Rate {
    /// A rate of `per_second` calls per second, with up to `burst` calls at once.
    #[must_use]
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst: Some(burst) }
    }

    fn capacity(&self) -> f64 {
        self.burst.unwrap_or(self.per_second).max(1.0)
    }
}

// === impl TokenBuckets ===

impl TokenBuckets {
    /// Takes a token for one call of `operation`; `false` if the quota is exhausted.
    pub(crate) fn take(&mut self, quotas: &Quotas, operation: &str, now: Timestamp) -> bool {
        let Some(rate) = quotas.0.get(operation) else {
            return true;
        };
        let capacity = rate.capacity();
        let full = Bucket { tokens: capacity, filled: now };
        if !self.0.contains_key(operation) {
            self.0.insert(operation.to_owned(), full);
        }
        let Some(bucket) = self.0.get_mut(operation) else {
            return true;
        };
        let elapsed = now.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + elapsed * rate.per_second).min(capacity);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_burst_of_five_calls_is_allowed_and_then_five_per_second() {
        let (quotas, mut buckets) = (Quotas::published_defaults(), TokenBuckets::default());
        let mut take = |ms| buckets.take(&quotas, "AssociateKmsKey", at(ms));
        assert!((0..5).all(|_| take(0)));
        assert!(!take(0));
        assert!(!take(199));
        assert!(take(201));
        assert!(!take(202));
        assert!((0..5).all(|_| take(5_000)));
        assert!(!take(5_000));
    }

    #[test]
    fn a_clock_that_goes_back_neither_adds_nor_removes_tokens() {
        let quotas = Quotas::off().with("X", Rate::new(1.0, 1.0));
        let mut buckets = TokenBuckets::default();
        assert!(buckets.take(&quotas, "X", at(10_000)));
        assert!(!buckets.take(&quotas, "X", at(0)));
        assert!(buckets.take(&quotas, "X", at(1_000)));
    }

    #[test]
    fn an_operation_without_a_quota_is_never_throttled() {
        let mut buckets = TokenBuckets::default();
        assert!((0..1_000).all(|_| buckets.take(&Quotas::published_defaults(), "CreateLogGroup", at(0))));
        assert!((0..1_000).all(|_| buckets.take(&Quotas::off(), "AssociateKmsKey", at(0))));
    }
}
