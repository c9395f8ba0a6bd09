//! Fakes, one a port: each keeps its port's promise in memory, and remembers what it saw.
#![expect(clippy::unwrap_used, reason = "test support: a fake that cannot be used ends the test")]

mod aws;
mod edge;
mod fixture;
mod history;
mod log;
mod queries;
mod quotas;
mod rules;
mod tree;

pub use self::{
    aws::{FakeAws, RecordedCall},
    edge::{FakeAudit, FakeAuthn, FakeClock, FakePolicy, FakeQuota, FakeTenants, FakeUpstreamLimiter},
    fixture::{ACCOUNT, KEY, OTHER_KEY, REGION, call, principal, tenant},
    history::FakeHistory,
    log::FakeLog,
    queries::FakeQueries,
    quotas::FakeQuotas,
    rules::FakeRules,
    tree::FakeTree,
};
