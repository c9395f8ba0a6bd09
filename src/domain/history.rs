//! Which key a resource had and when, and which former keys its data still needs. The store keeps these
//! values; the use cases show them and derive key usage from them.

use std::time::Duration;

use super::{
    arn::KmsKeyArn,
    association::{
        record::{PROPAGATION_DELAY, Source},
        resource::{Location, Resource, Target},
    },
    key::KeyHealth,
    time::Timestamp,
};

/// How long AWS keeps the stored results of a query (`CloudWatch` Logs quotas: "Results from a query are
/// retrievable for 7 days").
pub const QUERY_RESULTS_TTL: Duration = Duration::from_hours(7 * 24);

/// How long a log group keeps its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// The service has not read the retention.
    NotKnown,
    /// The events never expire.
    Forever,
    /// The events expire after this time.
    For(Duration),
}

/// The state of a resource at one moment, as the service read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The observed resource.
    pub resource: Resource,
    /// Its key. `None` is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// The time just before the call to AWS.
    pub observed_at: Timestamp,
    /// When AWS created the log group, if that is known.
    pub created: Option<Timestamp>,
    /// How long the log group keeps its events.
    pub retention: Retention,
}

/// What the store knows about the keys of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The resource.
    pub resource: Resource,
    /// The last known key. `None` is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// The key before the last known one, if it is known.
    pub previous_key: Option<KmsKeyArn>,
    /// When AWS accepted the key from this service. `None` if it was set by other means.
    pub accepted: Option<Timestamp>,
    /// When the key was first known to be set.
    pub since: Timestamp,
    /// When the key was last known to be set.
    pub observed_at: Timestamp,
    /// When AWS created the log group, if that is known.
    pub created: Option<Timestamp>,
    /// How long the log group keeps its events.
    pub retention: Retention,
    /// When the service found that the log group was deleted.
    pub deleted_at: Option<Timestamp>,
    /// The former keys, in no particular order.
    pub former: Vec<PastKey>,
}

/// A former key of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastKey {
    /// The key.
    pub key: KmsKeyArn,
    /// When the key was first known to be set.
    pub since: Timestamp,
    /// When the key was last known to be set.
    pub observed_at: Timestamp,
    /// When the service first knew that another key, or none, had replaced it.
    pub until: Timestamp,
}

/// Whether data needs a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The key is set: AWS encrypts new data with it.
    InUse,
    /// Data encrypted with the key is kept until this time.
    Until(Timestamp),
    /// Data encrypted with the key is kept forever.
    Forever,
    /// Data was encrypted with the key, and its retention is not known.
    NotKnown,
    /// Data encrypted with the key no longer exists.
    Expired,
}

/// A former key that data still needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerKey {
    /// The key.
    pub key: KmsKeyArn,
    /// When the key was first known to be set.
    pub since: Timestamp,
    /// When the key was last known to be set.
    pub observed_at: Timestamp,
    /// How long data needs the key.
    pub protection: Protection,
    /// Whether the key can be used.
    pub health: KeyHealth,
    /// When KMS will delete the key, if its deletion is scheduled.
    pub deletion: Option<Timestamp>,
}

/// A resource whose data needs a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The resource.
    pub resource: Resource,
    /// When the key was first known to be set.
    pub since: Timestamp,
    /// When the key was last known to be set.
    pub observed_at: Timestamp,
    /// How long data needs the key.
    pub protection: Protection,
    /// Where this information comes from.
    pub source: Source,
}

/// One read of every log group of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The scanned location.
    pub location: Location,
    /// When the first scan of the location began. The store keeps the earliest time.
    pub first: Timestamp,
    /// When the last scan began.
    pub last: Timestamp,
    /// How many log groups the last scan found.
    pub log_groups: u64,
}

// === impl Retention ===

impl Retention {
    /// The retention that AWS returned for a log group, where `None` means forever.
    #[must_use]
    pub fn displayed(retention: Option<Duration>) -> Self {
        retention.map_or(Self::Forever, Self::For)
    }

    /// The retention time for a response. `None` if it is forever or not known.
    #[must_use]
    pub fn length(self) -> Option<Duration> {
        match self {
            Self::For(length) => Some(length),
            Self::NotKnown | Self::Forever => None,
        }
    }
}

// === impl PastKey ===

impl PastKey {
    /// Whether data that the resource of `record` encrypted with this key still needs it.
    #[must_use]
    pub fn protection(&self, record: &KeyRecord, now: Timestamp) -> Protection {
        // Deleting a log group deletes its data, even if a log group of the same name is created later.
        let recreated = record.created.is_some_and(|created| created > self.observed_at);
        if record.deleted_at.is_some() || recreated {
            return Protection::Expired;
        }
        protection(&record.resource.target, record.retention, self.until, now)
    }
}

/// Whether data that the target wrote before its key was replaced still needs that key.
#[must_use]
pub fn protection(target: &Target, retention: Retention, replaced: Timestamp, now: Timestamp) -> Protection {
    let retention = match target {
        Target::LogGroup(_) => retention,
        Target::QueryResults => Retention::For(QUERY_RESULTS_TTL),
    };
    match retention {
        Retention::NotKnown => Protection::NotKnown,
        Retention::Forever => Protection::Forever,
        Retention::For(length) => {
            // AWS may use the former key until the change has propagated.
            let until = replaced.plus(PROPAGATION_DELAY).plus(length);
            if until > now { Protection::Until(until) } else { Protection::Expired }
        }
    }
}

// === impl KeyRecord ===

impl KeyRecord {
    /// The record after an observation. An observation that is older than the record changes nothing.
    #[must_use]
    pub fn observe(prior: Option<Self>, observation: &Observation) -> Self {
        let Observation { resource, key, observed_at, created, retention } = observation.clone();
        let Some(mut prior) = prior else {
            return Self {
                resource,
                key,
                previous_key: None,
                accepted: None,
                since: observed_at,
                observed_at,
                created,
                retention,
                deleted_at: None,
                former: Vec::new(),
            };
        };
        if observed_at < prior.observed_at {
            return prior;
        }
        let recreated = created.is_some_and(|created| created > prior.observed_at);
        if prior.key != key {
            let old = std::mem::replace(&mut prior.key, key);
            if let Some(old) = &old {
                let earlier = prior.former.iter().position(|former| former.key == *old);
                let earlier = earlier.map(|at| prior.former.swap_remove(at));
                let since = earlier.map_or(prior.since, |former| former.since.min(prior.since));
                prior.former.push(PastKey {
                    key: old.clone(),
                    since,
                    observed_at: prior.observed_at,
                    until: observed_at,
                });
            }
            (prior.previous_key, prior.accepted, prior.since) = (old, None, observed_at);
        } else if recreated {
            (prior.accepted, prior.since) = (None, observed_at);
        }
        prior.observed_at = observed_at;
        prior.created = created.or(prior.created);
        prior.deleted_at = None;
        if retention != Retention::NotKnown {
            prior.retention = retention;
        }
        prior
    }

    /// The former keys that data still needs, with their health not checked, for a response.
    #[must_use]
    pub fn former_keys(&self, now: Timestamp) -> Vec<FormerKey> {
        let shown = |(former, protection): (&PastKey, Protection)| FormerKey {
            key: former.key.clone(),
            since: former.since,
            observed_at: former.observed_at,
            protection,
            health: KeyHealth::NotChecked,
            deletion: None,
        };
        self.active(now).into_iter().map(shown).collect()
    }

    /// Whether data of this resource needs the key.
    #[must_use]
    pub fn protection_from(&self, key: &KmsKeyArn, now: Timestamp) -> Protection {
        if self.deleted_at.is_none() && self.key.as_ref() == Some(key) {
            return Protection::InUse;
        }
        let former = self.former.iter().find(|former| former.key == *key);
        former.map_or(Protection::Expired, |former| former.protection(self, now))
    }

    /// The former keys that data still needs, with their protection. The key that was replaced last comes
    /// first.
    fn active(&self, now: Timestamp) -> Vec<(&PastKey, Protection)> {
        let current = |former: &&PastKey| self.key.as_ref() == Some(&former.key);
        let mut found: Vec<(&PastKey, Protection)> = self
            .former
            .iter()
            .filter(|former| !current(former))
            .map(|former| (former, former.protection(self, now)))
            .filter(|(_, protection)| *protection != Protection::Expired)
            .collect();
        found.sort_by(|(one, _), (other, _)| {
            other.until.cmp(&one.until).then_with(|| one.key.as_str().cmp(other.key.as_str()))
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn key(id: &str) -> KmsKeyArn {
        format!("arn:aws:kms:eu-west-1:111122223333:key/{id}").parse().unwrap()
    }

    fn record(retention: Retention) -> KeyRecord {
        let location =
            Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        KeyRecord {
            resource: Resource { location, target: Target::LogGroup("/app".parse().unwrap()) },
            key: Some(key("new")),
            previous_key: None,
            accepted: None,
            since: at(1_000),
            observed_at: at(2_000),
            created: Some(at(10)),
            retention,
            deleted_at: None,
            former: vec![PastKey { key: key("old"), since: at(100), observed_at: at(900), until: at(1_000) }],
        }
    }

    #[test]
    fn a_former_key_is_needed_until_its_last_data_expires() {
        let group = record(Retention::For(DAY));
        let until = at(1_000 + 300 + 86_400);
        assert_eq!(group.protection_from(&key("old"), at(2_000)), Protection::Until(until));
        assert_eq!(group.protection_from(&key("old"), until), Protection::Expired);
        assert_eq!(group.protection_from(&key("new"), until), Protection::InUse);
        assert_eq!(group.protection_from(&key("none"), at(2_000)), Protection::Expired);
    }

    #[test]
    fn without_a_known_retention_there_is_no_end_date() {
        for (retention, protection) in
            [(Retention::Forever, Protection::Forever), (Retention::NotKnown, Protection::NotKnown)]
        {
            assert_eq!(record(retention).protection_from(&key("old"), at(i64::MAX / 2_000_000)), protection);
        }
    }

    #[test]
    fn the_data_of_a_deleted_log_group_needs_no_key() {
        let deleted = KeyRecord { deleted_at: Some(at(3_000)), ..record(Retention::Forever) };
        assert_eq!(deleted.protection_from(&key("old"), at(3_000)), Protection::Expired);
        assert_eq!(deleted.protection_from(&key("new"), at(3_000)), Protection::Expired);
        let recreated = KeyRecord { created: Some(at(901)), ..record(Retention::Forever) };
        assert_eq!(recreated.protection_from(&key("old"), at(3_000)), Protection::Expired);
        assert_eq!(recreated.protection_from(&key("new"), at(3_000)), Protection::InUse);
    }

    #[test]
    fn query_results_need_a_former_key_for_a_week() {
        let record = record(Retention::NotKnown);
        let resource = Resource { target: Target::QueryResults, ..record.resource.clone() };
        let results = KeyRecord { resource, ..record };
        let until = at(1_000 + 300 + 7 * 86_400);
        assert_eq!(results.protection_from(&key("old"), at(2_000)), Protection::Until(until));
    }

    #[test]
    fn a_key_that_is_set_again_is_not_a_former_key() {
        let mut group = record(Retention::Forever);
        group.key = Some(key("old"));
        assert_eq!(group.active(at(2_000)), []);
    }
}
