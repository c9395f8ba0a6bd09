//! The fleet: bulk jobs and their items, encryption rules, the selections that both share, and coverage.

mod class_counts;
mod counts;
mod coverage;
mod creator;
mod item;
mod job;
pub(super) mod job_id;
mod micros;
mod rule;
mod rule_decision;
pub(super) mod rule_definition;
mod safety;
mod selected_locations;
mod selection;
mod settings;
mod state_machine;

pub use self::{
    class_counts::ClassCounts,
    counts::ItemCounts,
    coverage::{CoverageClass, CoverageCount, Finding, FindingKind, LocationCoverage},
    creator::Creator,
    item::{Failure, Item, ItemEnd, ItemKey, ItemState, PlannedItem},
    job::{BulkChange, Job, JobLocation, JobSpec, LocationPhase},
    job_id::{InvalidJobId, JobId},
    rule::{EncryptionRule, RuleEvaluation, RuleOrigin, RuleState, RuleStatus, UnreadableLocation},
    rule_decision::{
        Decision, LocatedRule, ObservedResource, RequiredKey, classify, deciding, exemption, selecting,
    },
    rule_definition::{
        ConfiguredRule, DEFAULT_MAX_CHANGES, Exemption, InvalidRuleId, MAX_DISPLAY_NAME, RuleDefinition,
        RuleId, RuleMode,
    },
    safety::{DEFAULT_MAX_FAILURES, Safety},
    selection::{CurrentKey, KeyChoice, KeyOverride, Selection},
    settings::FleetSettings,
    state_machine::{JobState, JobStatus, PauseReason, Refused},
};
