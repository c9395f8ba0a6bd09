//! Reads of coverage: how many log groups have the key that the rules require, which ones do not, and the
//! history. A tenant reads its own coverage, an operator that of all tenants.

mod access;
mod finding_events;
mod findings;
mod history;
mod locations;
mod ports;
mod report;
mod texts;

pub use self::{
    access::CoverageScope,
    finding_events::RecordedFindings,
    findings::{FindingPage, FindingQuery, FindingView},
    history::HistoryReport,
    locations::LocationReport,
    ports::{CoveragePorts, CoverageQueries},
    report::{CoverageGroup, CoverageGrouping, CoverageQuery, CoverageReport},
};
