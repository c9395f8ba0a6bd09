//! What a pass over a location reads and finds.

use std::time::Duration;

use crate::domain::{
    arn::KmsKeyArn,
    association::Target,
    fleet::{LocationCoverage, PlannedItem},
    time::Timestamp,
};

/// The time in which repairs count.
pub(super) const REPAIR_WINDOW: Duration = Duration::from_hours(24);

/// Which resources of a location a pass reads.
#[derive(Clone, Debug)]
pub(super) enum PassScope {
    /// All of them.
    Location,
    /// These log groups, and the query results if they are one of the targets.
    Targets(Vec<Target>),
}

/// What a pass found.
#[derive(Debug)]
pub(super) struct PassResult {
    pub(super) coverage: LocationCoverage,
    /// The numbers of each rule, by its position.
    pub(super) tallies: Vec<Tally>,
    /// The changes that the rules require.
    pub(super) changes: Vec<Change>,
}

/// The numbers of a rule in a location.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) groups: u64,
    pub(super) compliant: u64,
    pub(super) to_change: u64,
    pub(super) findings: u64,
}

/// A change that a rule requires.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The position of the rule.
    pub(super) rule: usize,
    /// The position of the finding.
    pub(super) finding: usize,
    pub(super) key: KmsKeyArn,
    pub(super) item: PlannedItem,
    /// When AWS created the log group, if that is known.
    pub(super) created: Option<Timestamp>,
    /// Whether the resource had the key before.
    pub(super) is_repair: bool,
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.groups += other.groups;
        self.compliant += other.compliant;
        self.to_change += other.to_change;
        self.findings += other.findings;
    }
}
