//! The fleet: the use cases of bulk jobs and of coverage, and the engine that runs the jobs.

mod bulk;
mod coverage;
mod engine;
mod evaluate;
mod ports;
mod rules;
mod selection;

pub use self::{
    bulk::{
        create::CreateJob,
        list::{ItemPage, ItemQuery, JobPage, JobQuery},
        view::{JobView, LocationView},
        watch::JobStream,
    },
    coverage::{
        CoverageGroup, CoverageGrouping, CoveragePorts, CoverageQueries, CoverageQuery, CoverageReport,
        CoverageScope, FindingPage, FindingQuery, FindingView, HistoryReport, LocationReport,
        RecordedFindings,
    },
    engine::Engine,
    evaluate::{EventConsumer, RuleScheduler},
    ports::{ErrorTexts, Fleet, FleetPorts},
    rules::{CreateRule, EvaluateRule, RulePage, RulePatch, RuleQuery, RuleView},
};
