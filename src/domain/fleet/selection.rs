//! Which resources a bulk job or an encryption rule is about, and the key that they get.

use serde::{Deserialize, Serialize};

use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId, ResourceArn},
    association::{Location, LogGroupName},
    aws::{AccountId, Region},
    pattern::Pattern,
    serde_text,
};

/// Which resources a job or a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// The accounts. Empty selects all accounts of the tenant.
    #[serde(with = "serde_text::list")]
    pub accounts: Vec<AccountId>,
    /// The Regions. Empty selects all Regions of the tenant.
    #[serde(with = "serde_text::list")]
    pub regions: Vec<Region>,
    /// The patterns of log group names. Empty selects every name.
    #[serde(with = "serde_text::list")]
    pub log_groups: Vec<Pattern>,
    /// The patterns of log group names that are excluded.
    #[serde(with = "serde_text::list")]
    pub exclude: Vec<Pattern>,
    /// Which resources to select by their current key.
    pub current_key: CurrentKey,
    /// With [`CurrentKey::WithKey`]: only resources with this key.
    #[serde(with = "serde_text::option")]
    pub current_key_id: Option<KmsKeyId>,
    /// Whether the query results of the locations are selected too.
    pub query_results: bool,
    /// The resources, instead of patterns. Empty selects by patterns.
    #[serde(with = "serde_text::list")]
    pub resources: Vec<ResourceArn>,
}

/// Which resources to select by their current key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CurrentKey {
    /// All resources.
    #[default]
    Any,
    /// Resources without a key.
    WithoutKey,
    /// Resources with another key than the chosen one, or without a key.
    WithOtherKey,
    /// Resources with a key.
    WithKey,
}

/// The key to set, which can differ between locations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChoice {
    /// The key. An alias is resolved in each location. `None` if the overrides cover every location.
    #[serde(with = "serde_text::option")]
    pub key: Option<KmsKeyId>,
    /// The keys of locations that differ.
    pub overrides: Vec<KeyOverride>,
}

/// The key of some locations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOverride {
    /// The account. `None` is every account.
    #[serde(with = "serde_text::option")]
    pub account: Option<AccountId>,
    /// The Region. `None` is every Region.
    #[serde(with = "serde_text::option")]
    pub region: Option<Region>,
    /// The key.
    #[serde(with = "serde_text")]
    pub key: KmsKeyId,
}

// === impl Selection ===

impl Selection {
    /// Whether the selection is about this location.
    #[must_use]
    pub fn includes(&self, location: &Location) -> bool {
        let named = |resource: &ResourceArn| {
            resource.account == location.account && resource.region == location.region
        };
        (self.accounts.is_empty() || self.accounts.contains(&location.account))
            && (self.regions.is_empty() || self.regions.contains(&location.region))
            && (self.resources.is_empty() || self.resources.iter().any(named))
    }

    /// Whether the selection includes a log group with this name.
    #[must_use]
    pub fn includes_name(&self, name: &LogGroupName) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(name.as_str());
        (self.log_groups.is_empty() || self.log_groups.iter().any(matches))
            && !self.exclude.iter().any(matches)
    }

    /// Whether the selection includes a resource with this current key. `new` is the key that the resource
    /// would get, and `moved_from` the resolved [`Selection::current_key_id`].
    #[must_use]
    pub fn includes_key(
        &self,
        current: Option<&KmsKeyArn>,
        new: Option<&KmsKeyArn>,
        moved_from: Option<&KmsKeyArn>,
    ) -> bool {
        match self.current_key {
            CurrentKey::Any => true,
            CurrentKey::WithoutKey => current.is_none(),
            CurrentKey::WithOtherKey => current.is_none() || current != new,
            CurrentKey::WithKey => match (&self.current_key_id, current) {
                (None, current) => current.is_some(),
                (Some(_), current) => current.is_some() && current == moved_from,
            },
        }
    }

    /// The prefix that all selected names share, with which AWS can restrict a list.
    #[must_use]
    pub fn common_prefix(&self) -> &str {
        let literal = |pattern: &'_ Pattern| pattern.literal_prefix().len();
        let Some(first) = self.log_groups.first() else { return "" };
        let mut common = first.as_str().get(..literal(first)).unwrap_or_default();
        for pattern in &self.log_groups {
            let own = pattern.literal_prefix();
            let shared = common.bytes().zip(own.bytes()).take_while(|(one, other)| one == other).count();
            common = common.get(..shared).unwrap_or_default();
        }
        common
    }
}

// === impl KeyChoice ===

impl KeyChoice {
    /// The key for this location. Of the overrides that fit, the most specific one counts: an account is more
    /// specific than a Region. `None` if there is no key for the location.
    #[must_use]
    pub fn for_location(&self, location: &Location) -> Option<&KmsKeyId> {
        let fits = |it: &&KeyOverride| {
            it.account.is_none_or(|account| account == location.account)
                && it.region.as_ref().is_none_or(|region| *region == location.region)
        };
        let specificity = |it: &&KeyOverride| (it.account.is_some(), it.region.is_some());
        let fitting = self.overrides.iter().filter(fits).max_by_key(specificity);
        fitting.map(|it| &it.key).or(self.key.as_ref())
    }
}

#[cfg(test)]
mod tests;
