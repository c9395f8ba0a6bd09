//! The use cases: each is a function of a [`Context`] and a request. They know the world only through
//! the ports in [`Dependencies`]. `changes/pipeline.rs` is the main job.

mod audit;
mod aws_message;
mod changes;
mod context;
mod error;
mod fleet;
mod preflight;
mod queries;
mod shared;
mod state;
mod usage;

pub use self::{
    audit::{
        AuditHead, AuditPorts, AuditQueries, ConsistencyProof, EventBatch, EventPage, EventStream,
        InclusionProof, ReadError,
    },
    changes::{Changed, associate, current_warnings as warnings, disassociate, reconcile},
    context::Context,
    error::{
        AccessError, AwsCallError, ChangeError, Error, FleetError, Repetition, RequestError, StorageError,
    },
    fleet::{
        CoverageGroup, CoverageGrouping, CoveragePorts, CoverageQueries, CoverageQuery, CoverageReport,
        CoverageScope, CreateJob, CreateRule, Engine, ErrorTexts, EvaluateRule, EventConsumer, FindingPage,
        FindingQuery, FindingView, Fleet, FleetPorts, HistoryReport, ItemPage, ItemQuery, JobPage, JobQuery,
        JobStream, JobView, LocationReport, LocationView, RecordedFindings, RulePage, RulePatch, RuleQuery,
        RuleScheduler, RuleView,
    },
    preflight::{check, test_access},
    queries::{Page, PageTokens, Whoami, get, list, onboarding, whoami},
    shared::streams::StreamLimits,
    state::{Dependencies, ServiceState},
    usage::{Usage, Verdict, usage},
};

#[cfg(test)]
mod tests;
