//! How many resources have the key that the encryption rules require, and which ones do not.

use super::{item::Failure, job_id::JobId};
use crate::domain::{
    arn::KmsKeyArn,
    association::{Location, Resource},
    tenant::TenantId,
    time::Timestamp,
};

/// How a log group counts. The store keeps the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CoverageClass {
    /// It has the required key, and the key is usable.
    Compliant = 1,
    /// It has another key.
    OtherKey = 2,
    /// It has no KMS key.
    NoKey = 3,
    /// It has the required key, which is disabled, scheduled for deletion or deleted.
    KeyUnhealthy = 4,
    /// An exemption of the rule applies.
    Exempt = 5,
    /// Its key, or the key that the rule requires, is not known.
    Unknown = 6,
    /// No rule selects it.
    NoRule = 7,
    /// Rules of equal priority require different keys.
    Conflict = 8,
}

/// What is wrong with a resource. The numbers are those of the API and the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// It has another key.
    OtherKey = 1,
    /// It has no KMS key.
    NoKey = 2,
    /// It has the required key, which is disabled, scheduled for deletion or deleted.
    KeyUnhealthy = 3,
    /// An exemption of the rule applies.
    Exempt = 4,
    /// Its key, or the key that the rule requires, is not known.
    Unknown = 5,
    /// No rule selects it.
    NoRule = 6,
    /// Rules of equal priority require different keys.
    Conflict = 7,
    /// It lost the required key again after several repairs, and the rule leaves it alone.
    Flapping = 8,
}

/// What one evaluation found in one location of a tenant. It replaces what an earlier evaluation of the same
/// location found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationCoverage {
    /// The tenant.
    pub tenant: TenantId,
    /// The account and Region.
    pub location: Location,
    /// When the evaluation began to read the location.
    pub as_of: Timestamp,
    /// Why the location could not be read. The counts and findings of the last successful evaluation stay.
    pub failure: Option<Failure>,
    /// The counts of log groups. Rows that differ in nothing but `count` are added up.
    pub counts: Vec<CoverageCount>,
    /// The resources without the required key. A resource has at most one finding for each rule and kind.
    pub findings: Vec<Finding>,
}

/// How many log groups count in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageCount {
    /// `None`: by the rule that decides, so that each log group of the location is in exactly one row without
    /// a rule. A rule: by this rule alone, so that each log group that the rule selects is also in exactly one
    /// row with the rule.
    pub rule: Option<Box<str>>,
    /// The key that is set on them. `None` is the AWS-owned default, or a key that is not known.
    pub key: Option<KmsKeyArn>,
    /// How they count.
    pub class: CoverageClass,
    /// How many there are.
    pub count: u64,
}

/// A resource that does not have the key that a rule requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The resource.
    pub resource: Resource,
    /// How the resource counts. With [`FindingKind::Flapping`], it counts by the key that it has.
    pub class: CoverageClass,
    /// What is wrong.
    pub kind: FindingKind,
    /// The rule. With [`FindingKind::Conflict`], the first of the rules by id. `None` with
    /// [`FindingKind::NoRule`].
    pub rule: Option<Box<str>>,
    /// The other rules that are involved in a conflict, by id.
    pub other_rules: Vec<Box<str>>,
    /// The key that the rule requires, if it could be resolved and rules do not conflict.
    pub wanted: Option<KmsKeyArn>,
    /// The key that is set. `None` is the AWS-owned default, or a key that is not known.
    pub current: Option<KmsKeyArn>,
    /// Why the rule did not or cannot repair it.
    pub failure: Option<Failure>,
    /// The reason of the exemption, with [`FindingKind::Exempt`].
    pub exemption: Option<Box<str>>,
    /// The ARN of the principal that last changed the key, if an event said so.
    pub changed_by: Option<Box<str>>,
    /// The job that last tried to repair it.
    pub job: Option<JobId>,
}

// === impl CoverageClass ===

impl CoverageClass {
    /// Every class, in the order of the API.
    pub const ALL: [Self; 8] = [
        Self::Compliant,
        Self::OtherKey,
        Self::NoKey,
        Self::KeyUnhealthy,
        Self::Exempt,
        Self::Unknown,
        Self::NoRule,
        Self::Conflict,
    ];

    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The class with this number in the store.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }

    /// The name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "compliant",
            Self::OtherKey => "other_key",
            Self::NoKey => "no_key",
            Self::KeyUnhealthy => "key_unhealthy",
            Self::Exempt => "exempt",
            Self::Unknown => "unknown",
            Self::NoRule => "no_rule",
            Self::Conflict => "conflict",
        }
    }
}

// === impl FindingKind ===

impl FindingKind {
    /// Every kind, in the order of the API.
    pub const ALL: [Self; 8] = [
        Self::OtherKey,
        Self::NoKey,
        Self::KeyUnhealthy,
        Self::Exempt,
        Self::Unknown,
        Self::NoRule,
        Self::Conflict,
        Self::Flapping,
    ];

    /// The number in the store.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The kind with this number in the store.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The name in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherKey => "OTHER_KEY",
            Self::NoKey => "NO_KEY",
            Self::KeyUnhealthy => "KEY_UNHEALTHY",
            Self::Exempt => "EXEMPT",
            Self::Unknown => "UNKNOWN",
            Self::NoRule => "NO_RULE",
            Self::Conflict => "CONFLICT",
            Self::Flapping => "FLAPPING",
        }
    }

    /// Whether something needs to be repaired. Exempt resources and resources without a rule need no repair.
    #[must_use]
    pub fn needs_repair(self) -> bool {
        match self {
            Self::Exempt | Self::NoRule => false,
            Self::OtherKey
            | Self::NoKey
            | Self::KeyUnhealthy
            | Self::Unknown
            | Self::Conflict
            | Self::Flapping => true,
        }
    }
}
