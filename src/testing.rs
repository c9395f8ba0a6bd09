//! Fakes of the ports, for tests. Each fake keeps its port's contract in memory and records the calls that it
//! got.
#![expect(clippy::unwrap_used, reason = "test support: a panic in a fake fails the test")]

mod authn;
mod aws;
mod coverage;
mod edge;
mod fixture;
mod group_events;
mod history;
mod log;
mod page_keys;
mod queries;
mod quotas;
mod rules;
mod tree;

pub use self::{
    authn::FakeAuthn,
    aws::{FakeAws, RecordedCall},
    coverage::FakeCoverage,
    edge::{FakeAudit, FakeClock, FakePolicy, FakeQuota, FakeTenants, FakeUpstreamLimiter},
    fixture::{ACCOUNT, KEY, OTHER_KEY, REGION, call, principal, tenant},
    group_events::FakeGroupEvents,
    history::FakeHistory,
    log::FakeLog,
    page_keys::FakePageKeys,
    queries::FakeQueries,
    quotas::FakeQuotas,
    rules::FakeRules,
    tree::FakeTree,
};
