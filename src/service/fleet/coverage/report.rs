//! Counts the log groups by whether they have the required key (`GetCoverage`).

use std::collections::BTreeMap;

use super::{access::CoverageScope, locations::LocationReport, ports::CoverageQueries};
use crate::{
    domain::{
        arn::KmsKeyArn,
        fleet::{ClassCounts, CoverageClass},
    },
    ports::coverage::{CountedRules, LocationCount},
    service::{context::Context, error::Error},
};

/// A request for counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageQuery {
    /// How to group the counts.
    pub grouping: Option<CoverageGrouping>,
    /// What to count.
    pub scope: CoverageScope,
}

/// How to group counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoverageGrouping {
    /// By tenant.
    Tenant,
    /// By account.
    Account,
    /// By Region.
    Region,
    /// By the key that is set.
    Key,
    /// By rule.
    Rule,
}

/// The counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverageReport {
    /// The counts of each group, by value.
    pub groups: Vec<CoverageGroup>,
    /// The counts of all log groups.
    pub total: ClassCounts,
    /// The locations that the counts cover.
    pub locations: Vec<LocationReport>,
}

/// The counts of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageGroup {
    /// What the log groups have in common. Empty for no key, and for no rule.
    pub value: Box<str>,
    /// The counts.
    pub counts: ClassCounts,
}

impl CoverageQueries {
    /// Counts the log groups that the caller may see.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not read coverage, a filter names something that does not exist, or the
    /// store cannot be read.
    pub async fn report(&self, mut cx: Context, query: CoverageQuery) -> Result<CoverageReport, Error> {
        let result = self.build_report(&mut cx, &query).await;
        cx.record_read(result)
    }

    async fn build_report(&self, cx: &mut Context, query: &CoverageQuery) -> Result<CoverageReport, Error> {
        let CoverageQuery { grouping, scope } = query;
        let Some(visible) = self.visible(cx, scope).await? else { return Ok(CoverageReport::default()) };
        let filter = visible.filter();
        let read = async |rules, by_key| {
            let mut counts = cx.in_long_turn(self.ports.store.counts(&filter, rules, by_key)).await?;
            counts.retain(|count| visible.granted.contains(&count.at));
            Ok::<_, Error>(counts)
        };
        let rules = scope.rule.as_deref().map_or(CountedRules::Deciding, CountedRules::Only);
        let counts = read(rules, *grouping == Some(CoverageGrouping::Key)).await?;
        let groups = match grouping {
            None => Vec::new(),
            // By each rule alone, except for the log groups that no rule selects.
            Some(CoverageGrouping::Rule) if scope.rule.is_none() => {
                let unselected = counts.iter().filter(|count| count.class == CoverageClass::NoRule);
                let each = read(CountedRules::Each, false).await?;
                group(CoverageGrouping::Rule, each.iter().chain(unselected))
            }
            Some(grouping) => group(*grouping, counts.iter()),
        };
        let total = sum(&counts);
        Ok(CoverageReport { groups, total, locations: self.location_reports(cx, &visible).await? })
    }
}

fn group<'c>(
    grouping: CoverageGrouping,
    counts: impl Iterator<Item = &'c LocationCount>,
) -> Vec<CoverageGroup> {
    let mut groups = BTreeMap::<&str, ClassCounts>::new();
    for count in counts.filter(|count| count.count > 0) {
        let value = match grouping {
            CoverageGrouping::Tenant => count.at.tenant.as_str(),
            CoverageGrouping::Account => count.at.location.account.as_str(),
            CoverageGrouping::Region => count.at.location.region.as_str(),
            CoverageGrouping::Key => count.key.as_ref().map(KmsKeyArn::as_str).unwrap_or_default(),
            CoverageGrouping::Rule => count.rule.as_deref().unwrap_or_default(),
        };
        groups.entry(value).or_default().add(count.class, count.count);
    }
    groups.into_iter().map(|(value, counts)| CoverageGroup { value: value.into(), counts }).collect()
}

fn sum(counts: &[LocationCount]) -> ClassCounts {
    let mut sum = ClassCounts::default();
    for LocationCount { class, count, .. } in counts {
        sum.add(*class, *count);
    }
    sum
}
