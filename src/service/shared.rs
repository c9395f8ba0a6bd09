//! The parts that several use cases share.

pub(super) mod audit_context;
pub(super) mod fact_clock;
pub(super) mod fair_reads;
pub(super) mod job_gate;
pub(super) mod key_health;
pub(super) mod keyed_mutex;
pub(super) mod lease;
pub(super) mod log_groups;
pub(super) mod lookup;
pub(super) mod observation_buffer;
pub(super) mod policy_facts;
pub(super) mod query_results_probe;
pub(super) mod resolve;
pub(super) mod streams;
pub(super) mod upstream;
