//! Every metric of the service with its help text. The closed sets of labels exist at 0 from the start, because
//! Prometheus cannot see the increase of a counter that did not exist before.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::{
    domain::{call::Action, grpc_code::CODE_NAMES, reason::Reason},
    ports::limit::Operation,
};

/// A metric that the service exports.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its help text.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It has a current value.
    Gauge,
    /// It counts durations in buckets.
    Histogram,
}

/// A counter with one label, and every value of that label.
type ClosedSet = (&'static str, &'static str, &'static [&'static str]);

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, help }
}

/// Every metric of the service, apart from those of the process.
pub const METRICS: &[Metric] = &[
    gauge("logkey_ready", "1 while /readyz is 200, otherwise 0."),
    gauge("logkey_impaired", "1 while this part of the service is impaired, otherwise 0."),
    gauge("logkey_build_info", "1, with the version of the service."),
    gauge("logkey_settings_refused", "1 if the newest settings were refused, otherwise 0."),
    gauge(
        "logkey_certificate_expiry_seconds",
        "Time until the server certificate expires; negative afterwards.",
    ),
    counter("logkey_requests_total", "Finished calls, by RPC and gRPC code."),
    counter("logkey_errors_total", "Failed calls, by the reason in the error."),
    histogram("logkey_request_seconds", "Total duration of calls."),
    gauge("logkey_connections", "Open connections."),
    counter("logkey_connections_refused_total", "Connections that the service refused or closed."),
    counter("logkey_limit_refused_total", "Calls refused by a limit."),
    gauge("logkey_limit_shared", "1 while the limits are shared with other replicas, otherwise 0."),
    gauge("logkey_limit_backend_up", "1 while the server of the shared limits responds, otherwise 0."),
    gauge("logkey_limit_replicas", "The last known number of replicas that share the limits."),
    counter("logkey_limit_backend_errors_total", "Failed requests to the server of the shared limits."),
    histogram("logkey_limit_backend_seconds", "Duration of decisions of the server of the shared limits."),
    counter("logkey_aws_budget_refused_total", "Calls to AWS that no budget allowed before their deadline."),
    gauge("logkey_tenant_budgets", "Tenants whose quota state is in memory."),
    gauge("logkey_upstream_quota_keys", "Quota keys in memory."),
    gauge("logkey_upstream_waiting", "Calls that wait for an upstream permit."),
    histogram("logkey_upstream_wait_seconds", "How long calls waited for an upstream permit."),
    counter("logkey_upstream_throttled_total", "Calls that AWS throttled."),
    gauge("logkey_upstream_rate_limit_per_second", "Upstream permits per second now."),
    counter("logkey_service_quotas_total", "Requests to Service Quotas."),
    counter("logkey_query_results_verified_total", "Probe queries for the key of query results."),
    gauge("logkey_aws_sessions", "Role sessions in memory."),
    gauge(
        "logkey_service_credentials_usable",
        "1 if AWS accepts the service's own credentials, otherwise 0.",
    ),
    counter("logkey_service_faults_total", "Calls that failed because of the service's own access to AWS."),
    counter("logkey_jwks_fetches_total", "Fetches of issuers' keys."),
    gauge("logkey_jwks_age_seconds", "Time since the issuer's keys were fetched."),
    gauge("logkey_jwks_unusable_keys", "Keys in the issuer's key set that the service cannot use."),
    counter("logkey_key_observations_dropped_total", "Key observations dropped because the buffer was full."),
    counter("logkey_log_lines_lost_total", "Log lines that were lost because nobody read standard error."),
    counter("logkey_spans_dropped_total", "Spans that were not exported."),
    counter("logkey_reloads_total", "Reloads of changed settings."),
    gauge("logkey_settings_unwatched_folders", "Folders of settings files without file system events."),
    gauge("logkey_coverage_resources", "Log groups by how they count in GetCoverage."),
    gauge("logkey_coverage_findings", "Findings that need a repair."),
    gauge("logkey_leader", "1 if this process leads: it signs, feeds the sinks and reconciles; otherwise 0."),
    gauge("logkey_audit_writable", "1 while the audit log can be written, otherwise 0."),
    gauge("logkey_pending_changes", "Changes with an intent and without an outcome."),
    gauge("logkey_pending_changes_oldest_seconds", "Age of the oldest of these changes; 0 without one."),
    gauge("logkey_checkpoint_age_seconds", "Time since the newest checkpoint was signed."),
    gauge("logkey_checkpoint_uncovered_events", "Events that no checkpoint covers yet."),
    gauge("logkey_store_bytes", "Size of the store."),
    counter("logkey_audit_archived_events_total", "Events that were moved to the archive."),
    gauge(
        "logkey_audit_archive_timestamp_seconds",
        "When old events were last archived, in seconds since 1970.",
    ),
    gauge("logkey_audit_archive_failing", "1 while old events cannot be archived, otherwise 0."),
    counter("logkey_audit_archive_failures_total", "Failed attempts to archive old events."),
    gauge("logkey_store_wal_bytes", "Size of SQLite's write-ahead log."),
    gauge("logkey_store_free_bytes", "Free space on the file system of a SQLite store."),
    counter("logkey_audit_events_total", "Events that were committed."),
    histogram("logkey_audit_commit_seconds", "Duration of one commit of the audit log."),
    counter("logkey_audit_failures_total", "Failed commits, and failed attempts to recover from one."),
    counter("logkey_audit_stalls_total", "Commits that took so long that the process was not ready."),
    counter("logkey_audit_events_lost_total", "Reads and refusals that were not recorded."),
    counter("logkey_audit_reads_unrecorded_total", "Reads that `audit.reads` left out of the log."),
    counter("logkey_audit_sequencer_failures_total", "Failed attempts to extend the signed tree."),
    gauge(
        "logkey_audit_foreign_events",
        "1 if the log has an event that this service did not write, otherwise 0.",
    ),
    gauge("logkey_audit_streams", "Open streams of audit events."),
    gauge("logkey_audit_sink_waiting", "Events that the sink has not received yet."),
    gauge("logkey_audit_sink_lag_seconds", "Age of the oldest event that the sink has not received yet."),
    counter("logkey_audit_sink_failures_total", "Failed attempts to write to a sink."),
    gauge("logkey_bulk_jobs", "Bulk jobs that have not ended."),
    gauge("logkey_bulk_paused_jobs", "Paused bulk jobs."),
    gauge("logkey_bulk_stalled_seconds", "Longest time since an open bulk job made progress."),
    gauge(
        "logkey_bulk_queue_age_seconds",
        "Time since the oldest running job with waiting items was started.",
    ),
    gauge("logkey_bulk_open_items", "Items of open bulk jobs that wait or are being changed."),
    counter("logkey_bulk_items_total", "Items of bulk jobs that ended or returned to the queue."),
    gauge("logkey_bulk_streams", "Open streams of bulk jobs."),
    counter("logkey_rule_evaluations_total", "Evaluations of the encryption rules of one tenant."),
    histogram("logkey_rule_evaluation_seconds", "Duration of one such evaluation."),
    counter("logkey_group_events_total", "Messages of the event queue."),
    histogram("logkey_group_event_lag_seconds", "Age of an event when the service received it."),
    counter("logkey_group_event_errors_total", "Reads of the event queue that failed."),
];

/// The counters whose label has a closed set of values that the code of one place does not register itself.
const CLOSED_SETS: &[ClosedSet] = &[
    (
        "logkey_connections_refused_total",
        "cause",
        &[
            "accept_failed",
            "client_certificate",
            "frame_flood",
            "no_file_descriptors",
            "silent",
            "too_many",
            "too_many_of_one_address",
            "too_many_without_token",
        ],
    ),
    (
        "logkey_limit_refused_total",
        "cause",
        &[
            "account_budget",
            "calls_without_token",
            "failed_authentications",
            "overloaded",
            "streams",
            "tenant_in_flight",
            "tenant_rate",
        ],
    ),
    ("logkey_aws_budget_refused_total", "service", &["iam", "kms", "servicequotas", "sts"]),
    ("logkey_service_quotas_total", "outcome", &["failed", "read", "refused"]),
    ("logkey_query_results_verified_total", "outcome", &["shown", "unknown"]),
    ("logkey_reloads_total", "outcome", &["refused", "taken"]),
];

/// The counters without labels.
const PLAIN_COUNTERS: &[&str] = &[
    "logkey_audit_archive_failures_total",
    "logkey_audit_archived_events_total",
    "logkey_audit_events_lost_total",
    "logkey_audit_reads_unrecorded_total",
    "logkey_audit_events_total",
    "logkey_audit_failures_total",
    "logkey_audit_sequencer_failures_total",
    "logkey_audit_stalls_total",
    "logkey_key_observations_dropped_total",
    "logkey_limit_backend_errors_total",
    "logkey_log_lines_lost_total",
    "logkey_spans_dropped_total",
];

/// Describes every metric, and registers the closed sets of labels at 0.
pub(super) fn register(count_tenants: bool) {
    for &Metric { name, kind, help } in METRICS {
        match kind {
            MetricKind::Counter => describe_counter!(name, help),
            MetricKind::Gauge => describe_gauge!(name, help),
            MetricKind::Histogram => describe_histogram!(name, help),
        }
    }
    metrics_process::Collector::default().describe();
    for action in Action::ALL.into_iter().chain([Action::Unknown]) {
        for code in CODE_NAMES {
            let rpc = action.as_str();
            if count_tenants {
                counter!("logkey_requests_total", "rpc" => rpc, "code" => code, "tenant" => "").absolute(0);
            } else {
                counter!("logkey_requests_total", "rpc" => rpc, "code" => code).absolute(0);
            }
        }
    }
    for reason in Reason::ALL {
        counter!("logkey_errors_total", "reason" => reason.as_str()).absolute(0);
    }
    for operation in Operation::ALL {
        counter!("logkey_upstream_throttled_total", "operation" => operation.as_str()).absolute(0);
    }
    for &(name, label, values) in CLOSED_SETS {
        for value in values {
            counter!(name, label => *value).absolute(0);
        }
    }
    for name in PLAIN_COUNTERS {
        counter!(*name).absolute(0);
    }
    gauge!("logkey_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!("logkey_settings_refused").set(0.0);
    gauge!("logkey_audit_archive_failing").set(0.0);
}
