//! What a report holds.

use std::collections::BTreeMap;

use prost_types::Timestamp;

use crate::proto::{CoverageLocation, CoveragePoint};

/// Whether the resources of a tenant have the keys that they must have.
#[derive(Clone, Debug)]
pub(crate) struct ComplianceReport {
    pub(crate) tenant: String,
    pub(crate) basis: Basis,
    /// When the report was made.
    pub(crate) time: jiff::Timestamp,
    /// One for each resource, sorted by account, Region and name.
    pub(crate) resources: Vec<Resource>,
    /// The accounts and Regions that the report covers. A location with an error could not be read.
    pub(crate) locations: Vec<CoverageLocation>,
    /// The counts of past days, oldest first. Empty without rules.
    pub(crate) history: Vec<CoveragePoint>,
}

/// What a resource is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The encryption rules of the tenant.
    Rules,
    /// The key that the caller expects.
    ExpectedKey(String),
    /// Any KMS key: the tenant has no rules.
    AnyKey,
}

/// One resource and how it counts.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) account: String,
    pub(crate) region: String,
    /// The name of the log group, or [`QUERY_RESULTS`].
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) status: Status,
    /// The ARN of the key that is set. Empty: none, or not known.
    pub(crate) key: String,
    /// What is wrong. Absent if the resource is compliant.
    pub(crate) finding: Option<Finding>,
}

/// An account and a Region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) account: String,
    pub(crate) region: String,
}

/// The name of an account's query results in a report.
pub(crate) const QUERY_RESULTS: &str = "query-results";

/// The resources that rules have findings for, by the location and the name.
pub(crate) type Findings = BTreeMap<(Location, String), Resource>;

/// What is wrong with a resource, and how to repair it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finding {
    /// The id that the service gave it. Empty without rules.
    pub(crate) id: String,
    /// The rule. Empty without rules.
    pub(crate) rule: String,
    /// The name that people gave the rule; its id if they gave none.
    pub(crate) rule_name: String,
    /// The ARN of the key that is required. Empty if it is not known, or if any key will do.
    pub(crate) required_key: String,
    /// Since when, as far as the service knows.
    pub(crate) since: Option<Timestamp>,
    /// A stable reason why it was not repaired. Can be empty.
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) remedy: String,
    /// The exact policy statement to add. Can be empty.
    pub(crate) remedy_document: String,
    /// Who last changed the key. Can be empty.
    pub(crate) changed_by: String,
    /// The bulk job that last tried to repair it. Can be empty.
    pub(crate) job: String,
}

/// How a resource counts, as in `CoverageCounts` and `FindingKind` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Conflict,
    OtherKey,
    NoKey,
    KeyUnhealthy,
    Flapping,
    Unknown,
    Exempt,
    NoRule,
    Compliant,
}

/// What a status means for a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Compliant,
    NonCompliant,
    /// Nothing is required of the resource.
    NotRequired,
    /// The service does not know.
    Unknown,
}

impl Status {
    pub(crate) const ALL: [Self; 9] = [
        Self::Compliant,
        Self::NoKey,
        Self::OtherKey,
        Self::KeyUnhealthy,
        Self::Conflict,
        Self::Flapping,
        Self::Unknown,
        Self::Exempt,
        Self::NoRule,
    ];

    /// The name for programs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "COMPLIANT",
            Self::NoKey => "NO_KEY",
            Self::OtherKey => "OTHER_KEY",
            Self::KeyUnhealthy => "KEY_UNHEALTHY",
            Self::Conflict => "CONFLICT",
            Self::Flapping => "FLAPPING",
            Self::Unknown => "UNKNOWN",
            Self::Exempt => "EXEMPT",
            Self::NoRule => "NO_RULE",
        }
    }

    /// A title for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Compliant => "The required key is set",
            Self::NoKey => "No KMS key is set",
            Self::OtherKey => "The key is not the required one",
            Self::KeyUnhealthy => "The key cannot be used",
            Self::Conflict => "Rules require different keys",
            Self::Flapping => "The required key is removed again and again",
            Self::Unknown => "The key is not known",
            Self::Exempt => "An exemption of the rule applies",
            Self::NoRule => "No rule selects the log group",
        }
    }

    pub(crate) const fn verdict(self) -> Verdict {
        match self {
            Self::Compliant => Verdict::Compliant,
            Self::NoKey | Self::OtherKey | Self::KeyUnhealthy | Self::Conflict | Self::Flapping => {
                Verdict::NonCompliant
            }
            Self::Exempt | Self::NoRule => Verdict::NotRequired,
            Self::Unknown => Verdict::Unknown,
        }
    }
}

impl ComplianceReport {
    /// How many resources have this status.
    pub(crate) fn count(&self, status: Status) -> usize {
        self.resources.iter().filter(|it| it.status == status).count()
    }

    /// How many resources have this verdict.
    pub(crate) fn with_verdict(&self, verdict: Verdict) -> usize {
        self.resources.iter().filter(|it| it.status.verdict() == verdict).count()
    }

    /// The locations that could not be read.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &CoverageLocation> {
        self.locations.iter().filter(|it| it.error.is_some())
    }

    /// The share of compliant resources among those of which a key is required, in whole per cent, rounded
    /// down: 100 means all. Absent if no key is required of any.
    pub(crate) fn percent(&self) -> Option<usize> {
        let compliant = self.with_verdict(Verdict::Compliant);
        let required = self.resources.len() - self.with_verdict(Verdict::NotRequired);
        (compliant * 100).checked_div(required)
    }
}
