//! Which key was known to be set on what, and when: what says which former keys still protect data.

use std::time::Duration;

use super::{
    arn::KmsKeyArn,
    association::{Location, PROPAGATION_DELAY, Resource, Source, Target},
    key::KeyHealth,
    time::Timestamp,
};

/// How long AWS keeps the stored results of a query ("Results from a query are retrievable for 7 days",
/// `CloudWatch` Logs quotas).
pub const QUERY_RESULTS_TTL: Duration = Duration::from_hours(7 * 24);

/// How long a log group keeps its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Nobody has looked.
    NotKnown,
    /// For ever.
    Forever,
    /// This long.
    For(Duration),
}

/// What was seen of a resource at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What was looked at.
    pub resource: Resource,
    /// Its key; none is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// When: the moment before AWS was asked.
    pub observed_at: Timestamp,
    /// When AWS made the log group, where that is known.
    pub created: Option<Timestamp>,
    /// How long it keeps its events.
    pub retention: Retention,
}

/// All that is known of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// What.
    pub resource: Resource,
    /// Its key as it was last known; none is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// The key before that, where it is known.
    pub previous_key: Option<KmsKeyArn>,
    /// When AWS took the key from this service; none where it was set elsewhere.
    pub accepted: Option<Timestamp>,
    /// When the key was first known to be set.
    pub since: Timestamp,
    /// When it was last known to be set.
    pub observed_at: Timestamp,
    /// When AWS made the log group, where that is known.
    pub created: Option<Timestamp>,
    /// How long it keeps its events.
    pub retention: Retention,
    /// When the log group was found to be deleted.
    pub deleted_at: Option<Timestamp>,
    /// The keys it had before, in no order.
    pub former: Vec<PastKey>,
}

/// A key that a resource had before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastKey {
    /// The key.
    pub key: KmsKeyArn,
    /// When it was first known to be set.
    pub since: Timestamp,
    /// When it was last known to be set.
    pub observed_at: Timestamp,
    /// When another key, or none, was first known in its place.
    pub until: Timestamp,
}

/// Whether data needs a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The key is set: what is written from now on is encrypted with it.
    InUse,
    /// Data that was written under it is kept until then.
    Until(Timestamp),
    /// Data that was written under it is kept for ever.
    Forever,
    /// Data was written under it, and it is not known how long that is kept.
    NotKnown,
    /// What was written under it is gone.
    Expired,
}

/// A former key that data still needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerKey {
    /// The key.
    pub key: KmsKeyArn,
    /// When it was first known to be set.
    pub since: Timestamp,
    /// When it was last known to be set.
    pub observed_at: Timestamp,
    /// How long data needs it.
    pub protection: Protection,
    /// Whether it can be used.
    pub health: KeyHealth,
    /// When it will be deleted, where that is scheduled.
    pub deletion: Option<Timestamp>,
}

/// Something that a key protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// What.
    pub resource: Resource,
    /// When the key was first known to be set.
    pub since: Timestamp,
    /// When it was last known to be set.
    pub observed_at: Timestamp,
    /// How long it is needed.
    pub protection: Protection,
    /// What this is based on.
    pub source: Source,
}

/// One reading of every log group of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Which place.
    pub location: Location,
    /// When the first such reading began; as it is kept, the earliest counts.
    pub first: Timestamp,
    /// When the last one began.
    pub last: Timestamp,
    /// How many log groups it found.
    pub log_groups: u64,
}

// === impl Retention ===

impl Retention {
    /// From what AWS shows of a log group: none is for ever.
    #[must_use]
    pub fn displayed(retention: Option<Duration>) -> Self {
        retention.map_or(Self::Forever, Self::For)
    }

    /// How long, as an answer shows it; none is for ever or not known.
    #[must_use]
    pub fn length(self) -> Option<Duration> {
        match self {
            Self::For(length) => Some(length),
            Self::NotKnown | Self::Forever => None,
        }
    }
}

// === impl Former ===

impl PastKey {
    /// Whether data that was written under the key on `known` still needs it.
    #[must_use]
    pub fn protection(&self, record: &KeyRecord, now: Timestamp) -> Protection {
        // A log group that was deleted took its data along, also where one of the same name came after.
        let recreated = record.created.is_some_and(|created| created > self.observed_at);
        if record.deleted_at.is_some() || recreated {
            return Protection::Expired;
        }
        protection(&record.resource.target, record.retention, self.until, now)
    }
}

/// Whether what was written to the target until its key was replaced needs that key.
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
            // AWS may take that long to use the new key.
            let until = replaced.plus(PROPAGATION_DELAY).plus(length);
            if until > now { Protection::Until(until) } else { Protection::Expired }
        }
    }
}

// === impl Known ===

impl KeyRecord {
    /// What is known once this was seen too; one that is older changes nothing.
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

    /// The former keys that data still needs, as an answer shows them.
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

    /// Whether data on this resource needs the key.
    #[must_use]
    pub fn protection_from(&self, key: &KmsKeyArn, now: Timestamp) -> Protection {
        if self.deleted_at.is_none() && self.key.as_ref() == Some(key) {
            return Protection::InUse;
        }
        let former = self.former.iter().find(|former| former.key == *key);
        former.map_or(Protection::Expired, |former| former.protection(self, now))
    }

    /// The former keys that data still needs, with how long, the one that is needed longest first.
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
    fn a_former_key_protects_data_until_the_last_that_could_be_written_under_it_expires() {
        let group = record(Retention::For(DAY));
        let until = at(1_000 + 300 + 86_400);
        assert_eq!(group.protection_from(&key("old"), at(2_000)), Protection::Until(until));
        assert_eq!(group.protection_from(&key("old"), until), Protection::Expired);
        assert_eq!(group.protection_from(&key("new"), until), Protection::InUse);
        assert_eq!(group.protection_from(&key("none"), at(2_000)), Protection::Expired);
    }

    #[test]
    fn without_an_end_of_retention_there_is_no_date() {
        for (retention, protection) in
            [(Retention::Forever, Protection::Forever), (Retention::NotKnown, Protection::NotKnown)]
        {
            assert_eq!(record(retention).protection_from(&key("old"), at(i64::MAX / 2_000_000)), protection);
        }
    }

    #[test]
    fn a_log_group_that_was_deleted_took_its_data_along() {
        let gone = KeyRecord { deleted_at: Some(at(3_000)), ..record(Retention::Forever) };
        assert_eq!(gone.protection_from(&key("old"), at(3_000)), Protection::Expired);
        assert_eq!(gone.protection_from(&key("new"), at(3_000)), Protection::Expired);
        let recreated = KeyRecord { created: Some(at(901)), ..record(Retention::Forever) };
        assert_eq!(recreated.protection_from(&key("old"), at(3_000)), Protection::Expired);
        assert_eq!(recreated.protection_from(&key("new"), at(3_000)), Protection::InUse);
    }

    #[test]
    fn results_of_queries_are_kept_for_a_week() {
        let record = record(Retention::NotKnown);
        let resource = Resource { target: Target::QueryResults, ..record.resource.clone() };
        let results = KeyRecord { resource, ..record };
        let until = at(1_000 + 300 + 7 * 86_400);
        assert_eq!(results.protection_from(&key("old"), at(2_000)), Protection::Until(until));
    }

    #[test]
    fn a_key_that_came_back_is_in_use_and_not_a_former_one() {
        let mut group = record(Retention::Forever);
        group.key = Some(key("old"));
        assert_eq!(group.active(at(2_000)), []);
    }
}
