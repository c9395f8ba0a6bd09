//! A fake of the store of coverage.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    domain::{
        association::Location,
        fleet::{ClassCounts, FindingKind, LocationCoverage},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        Unavailable,
        coverage::{
            CountedRules, CoverageFilter, CoverageStore, CoverageTotals, DailyCoverage, EvaluatedLocation,
            FindingChanges, FindingFilter, FindingKey, FindingWindow, LocationCount, ResourceFindings,
            StoredFinding, TenantLocation,
        },
    },
};

const MICROS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Keeps coverage in memory. The history contains only days on which a location was evaluated.
#[derive(Debug, Default)]
pub struct FakeCoverage {
    recorded: Mutex<Vec<LocationCoverage>>,
    findings: Mutex<Vec<StoredFinding>>,
    fails: Mutex<bool>,
}

// === impl FakeCoverage ===

impl FakeCoverage {
    /// Everything that was recorded, in order.
    #[must_use]
    pub fn recorded(&self) -> Vec<LocationCoverage> {
        self.recorded.lock().clone()
    }

    /// Fails every further call, or stops failing.
    pub fn fail(&self, fails: bool) {
        *self.fails.lock() = fails;
    }

    fn check_available(&self) -> Result<(), Unavailable> {
        let fails = *self.fails.lock();
        if fails { Err(Unavailable { dependency: "coverage", source: None }) } else { Ok(()) }
    }

    /// The last recording of each location that matches, and the last successful one.
    fn latest(&self, filter: &CoverageFilter) -> Vec<(LocationCoverage, Option<LocationCoverage>)> {
        let recorded = self.recorded.lock();
        let matching = recorded.iter().filter(|found| matches(filter, &found.tenant, &found.location));
        let mut latest = BTreeMap::new();
        for found in matching {
            let order = (found.location.account, found.location.region.clone(), found.tenant.clone());
            let (last, known) = latest.entry(order).or_insert((found.clone(), None));
            *last = found.clone();
            if found.failure.is_none() {
                *known = Some(found.clone());
            }
        }
        latest.into_values().collect()
    }

    fn remove(&self, is_removed: impl Fn(&StoredFinding) -> bool) -> FindingChanges {
        let resolved = self.findings.lock().extract_if(.., |finding| is_removed(finding)).collect();
        FindingChanges { resolved, ..FindingChanges::default() }
    }
}

fn matches(filter: &CoverageFilter, tenant: &TenantId, location: &Location) -> bool {
    filter.tenant.as_ref().is_none_or(|it| it == tenant)
        && filter.account.is_none_or(|it| it == location.account)
        && filter.region.as_ref().is_none_or(|it| *it == location.region)
}

fn at(found: &LocationCoverage) -> TenantLocation {
    TenantLocation { tenant: found.tenant.clone(), location: found.location.clone() }
}

fn sum(found: &LocationCoverage) -> ClassCounts {
    let mut sum = ClassCounts::default();
    for count in found.counts.iter().filter(|count| count.rule.is_none()) {
        sum.add(count.class, count.count);
    }
    sum
}

fn order(key: &FindingKey) -> (String, String, String, Option<&str>, FindingKind) {
    let location = &key.resource.location;
    let location = format!("{} {}", location.account, location.region);
    let name = format!("{:?}", key.resource.target);
    (location, name, key.tenant.to_string(), key.rule.as_deref(), key.kind)
}

#[async_trait]
impl CoverageStore for FakeCoverage {
    async fn record(&self, found: &LocationCoverage) -> Result<FindingChanges, Unavailable> {
        self.check_available()?;
        let is_later = |other: &LocationCoverage| at(other) == at(found) && other.as_of > found.as_of;
        if self.recorded.lock().iter().any(is_later) {
            return Ok(FindingChanges::default());
        }
        self.recorded.lock().push(found.clone());
        if found.failure.is_some() {
            return Ok(FindingChanges::default());
        }
        let here = |stored: &StoredFinding| {
            stored.tenant == found.tenant && stored.finding.resource.location == found.location
        };
        let mut before = self.remove(here).resolved;
        let mut changes = FindingChanges::default();
        for finding in &found.findings {
            let mut stored = StoredFinding {
                id: Uuid::now_v7(),
                tenant: found.tenant.clone(),
                since: found.as_of,
                finding: finding.clone(),
            };
            match before.iter().position(|old| old.key() == stored.key()).map(|old| before.remove(old)) {
                Some(old) => {
                    (stored.id, stored.since) = (old.id, old.since);
                    if old.finding != stored.finding {
                        changes.changed.push(stored.clone());
                    }
                }
                None => changes.new.push(stored.clone()),
            }
            self.findings.lock().push(stored);
        }
        changes.resolved = before;
        Ok(changes)
    }

    async fn record_resource(&self, found: &ResourceFindings) -> Result<FindingChanges, Unavailable> {
        self.check_available()?;
        let here = |stored: &StoredFinding| {
            stored.tenant == found.tenant && stored.finding.resource == found.resource
        };
        let resolved = self.remove(here).resolved;
        let stored = |finding: &crate::domain::fleet::Finding| StoredFinding {
            id: Uuid::now_v7(),
            tenant: found.tenant.clone(),
            since: found.as_of,
            finding: finding.clone(),
        };
        let new: Vec<StoredFinding> = found.findings.iter().map(stored).collect();
        self.findings.lock().extend(new.iter().cloned());
        Ok(FindingChanges { new, resolved, ..FindingChanges::default() })
    }

    async fn delete_rule(&self, tenant: &TenantId, rule: &str) -> Result<FindingChanges, Unavailable> {
        self.check_available()?;
        for found in self.recorded.lock().iter_mut().filter(|found| found.tenant == *tenant) {
            found.counts.retain(|count| count.rule.as_deref() != Some(rule));
        }
        Ok(self.remove(|it| it.tenant == *tenant && it.finding.rule.as_deref() == Some(rule)))
    }

    async fn retain(&self, existing: &[TenantLocation]) -> Result<FindingChanges, Unavailable> {
        self.check_available()?;
        self.recorded.lock().retain(|found| existing.contains(&at(found)));
        let location = |it: &StoredFinding| TenantLocation {
            tenant: it.tenant.clone(),
            location: it.finding.resource.location.clone(),
        };
        Ok(self.remove(|it| !existing.contains(&location(it))))
    }

    async fn delete_history(&self, _before: Timestamp) -> Result<(), Unavailable> {
        self.check_available()
    }

    async fn locations(&self, filter: &CoverageFilter) -> Result<Vec<EvaluatedLocation>, Unavailable> {
        self.check_available()?;
        let latest = self.latest(filter).into_iter();
        let evaluated = latest.map(|(last, known)| EvaluatedLocation {
            at: at(&last),
            known_as_of: known.map(|known| known.as_of),
            failure: last.failure,
        });
        Ok(evaluated.collect())
    }

    async fn counts(
        &self,
        filter: &CoverageFilter,
        rules: CountedRules<'_>,
        by_key: bool,
    ) -> Result<Vec<LocationCount>, Unavailable> {
        self.check_available()?;
        let known = self.latest(filter).into_iter().filter_map(|(_, known)| known);
        let counts = known.flat_map(|known| {
            let at = at(&known);
            known.counts.into_iter().map(move |count| LocationCount {
                at: at.clone(),
                rule: count.rule,
                key: count.key.filter(|_key| by_key),
                class: count.class,
                count: count.count,
            })
        });
        let is_counted = |count: &LocationCount| match rules {
            CountedRules::Deciding => count.rule.is_none(),
            CountedRules::Each => count.rule.is_some(),
            CountedRules::Only(rule) => count.rule.as_deref() == Some(rule),
        };
        Ok(counts.filter(is_counted).collect())
    }

    async fn findings(
        &self,
        filter: &FindingFilter,
        window: &FindingWindow,
    ) -> Result<Vec<StoredFinding>, Unavailable> {
        self.check_available()?;
        let mut found = self.findings.lock().clone();
        found.retain(|it| {
            matches(&filter.locations, &it.tenant, &it.finding.resource.location)
                && (filter.rule.is_none() || filter.rule == it.finding.rule)
                && (filter.kinds.is_empty() || filter.kinds.contains(&it.finding.kind))
                && window.after.as_ref().is_none_or(|after| order(&it.key()) > order(after))
        });
        found.sort_by(|a, b| order(&a.key()).cmp(&order(&b.key())));
        let (skip, limit) = (usize::try_from(window.skip), usize::try_from(window.limit));
        Ok(found.into_iter().skip(skip.unwrap_or(usize::MAX)).take(limit.unwrap_or(usize::MAX)).collect())
    }

    async fn history(
        &self,
        tenant: Option<&TenantId>,
        locations: Option<&[Location]>,
        from: Timestamp,
    ) -> Result<Vec<DailyCoverage>, Unavailable> {
        self.check_available()?;
        let day = |at: Timestamp| at.as_micros().div_euclid(MICROS_PER_DAY);
        let mut last = BTreeMap::new();
        for found in self.recorded.lock().iter() {
            let is_visible = locations.is_none_or(|locations| locations.contains(&found.location));
            if day(found.as_of) >= day(from) && tenant.is_none_or(|it| *it == found.tenant) && is_visible {
                let region = found.location.region.clone();
                let of_day = last.entry(day(found.as_of)).or_insert_with(BTreeMap::new);
                of_day.insert((found.location.account, region, found.tenant.clone()), found.clone());
            }
        }
        let points = last.into_iter().map(|(day, of_day)| {
            let mut point = DailyCoverage {
                day: Timestamp::from_micros(day * MICROS_PER_DAY),
                failed_locations: 0,
                counts: ClassCounts::default(),
            };
            for found in of_day.values() {
                point.failed_locations += u64::from(found.failure.is_some());
                for (sum, count) in point.counts.0.iter_mut().zip(sum(found).0) {
                    *sum += count;
                }
            }
            point
        });
        Ok(points.collect())
    }

    async fn totals(&self) -> Result<CoverageTotals, Unavailable> {
        self.check_available()?;
        let mut resources = ClassCounts::default();
        for (_, known) in self.latest(&CoverageFilter::default()) {
            for (sum, count) in resources.0.iter_mut().zip(known.map_or([0; 8], |known| sum(&known).0)) {
                *sum += count;
            }
        }
        let needing = self.findings.lock().iter().filter(|it| it.finding.kind.needs_repair()).count();
        Ok(CoverageTotals { resources, findings: u64::try_from(needing).unwrap_or(u64::MAX) })
    }
}
