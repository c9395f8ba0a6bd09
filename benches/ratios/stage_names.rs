//! The stages of a call, and their functions by parts of their names.

/// A stage of a call.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// The function has one of these in its name.
    functions: &'static [&'static str],
}

const fn stage(name: &'static str, functions: &'static [&'static str]) -> Stage {
    Stage { name, functions }
}

/// The stages. The first one that contains a function counts. The last one is the rest: functions that no stage
/// calls, as those of the runtime.
pub(crate) const STAGES: [Stage; 17] = [
    stage(
        "checkpoints, in the background",
        &["audit::sequencer", "audit::tree::Edge", "audit::checkpoint", "tlog_tiles", "signed_note"],
    ),
    stage("span and log line", &["tracing", "layers::trace::log_and_count", "log_sampler"]),
    stage("metrics", &["metrics", "call_metrics"]),
    stage("authentication", &["layers::authn", "auth::jwt", "auth::token_cache", "asserted_user"]),
    stage("policy", &["cedar", "decide_with", "required_facts"]),
    stage("quota", &["layers::quota", "limit::tenant_quota"]),
    stage("permit", &["limit::", "service::shared::upstream"]),
    stage(
        "read of the prior state",
        &["changes::prior_state", "batch_loader", "key_queries", "key_rows", "fact_clock"],
    ),
    stage(
        "events: JSON, hashes, tag",
        &["audit::event", "audit::tree", "audit::batch_tag", "domain::audit::schema"],
    ),
    stage("queue of the journal", &["audit::journal", "audit_context"]),
    stage(
        "SQLite's thread",
        &["sqlite3", "sqlx_sqlite::connection::worker", "sqlx_sqlite::connection::execute"],
    ),
    stage("statements", &["sqlx", "store::"]),
    stage(
        "call to AWS",
        &["aws_s", "aws_c", "logkey::aws::", "hyper::proto::h1", "hyper_util::client", "stub::"],
    ),
    stage("conversion and answer", &["grpc::convert", "prost", "logkey::proto"]),
    stage("use case", &["logkey::service"]),
    stage("transport", &["h2::", "hyper", "tonic", "axum", "grpc_edge", "server::", "http::", "tower"]),
    stage("rest: mostly the runtime", &[]),
];

// === impl Stage ===

impl Stage {
    /// Whether the function belongs to the stage, also if another stage calls it.
    pub(crate) fn contains(&self, function: &str) -> bool {
        self.functions.iter().any(|part| function.contains(part))
    }
}
