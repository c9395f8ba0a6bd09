//! What operators see of a call and of the service: log lines, metrics, and the trace of the caller.

use std::{collections::BTreeSet, io::Read as _, process::Stdio};

use logkey::{
    app::telemetry::{METRICS, MetricKind},
    domain::{call::Action, reason::Reason},
};
use serde_json::Value;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{ALL, Caller, GROUP, PAYMENTS, Plan, REGION, Service, key, on_group, reason},
    process::{send_signal, serving},
    readiness::{connect, probe, until},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// The number of gRPC status codes.
const CODES: usize = 17;

/// The service in its own process, over the embedded AWS of a service in this process.
struct Observed {
    child: KillOnDrop,
    service: Service,
    grpc: std::net::SocketAddr,
    admin: std::net::SocketAddr,
}

impl Observed {
    async fn start(environment: &[(&str, &str)]) -> Self {
        let service = Plan::default().start().await;
        let [grpc, admin] = free_addresses().unwrap();
        let folder = service.settings().parent().unwrap().to_owned();
        let child = serving(&service.settings())
            .env("LOGKEY__SERVER__LISTEN", grpc.to_string())
            .env("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())
            .env("LOGKEY__SERVER__DRAIN_DELAY", "0s")
            .env("LOGKEY__STORE__URL", format!("sqlite://{}/observed.db", folder.display()))
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .map(KillOnDrop)
            .unwrap();
        until("readiness", async || probe(admin, "readyz").await.0 == 200).await;
        Self { child, service, grpc, admin }
    }

    async fn metrics(&self) -> String {
        probe(self.admin, "metrics").await.1
    }

    async fn caller(&self) -> Caller {
        Caller::new(connect(self.grpc).await.unwrap(), &self.service.issuer.token("payments", ALL))
    }

    /// Stops the process and returns its log lines.
    async fn log(mut self) -> Vec<Value> {
        send_signal(&self.child, "-TERM");
        let mut stderr = self.child.stderr.take().unwrap();
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        self.service.stop().await;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A change with a `traceparent`.
async fn traced(caller: &Caller, key: &str) -> Result<(), Status> {
    let mut request = caller.request(on_group(GROUP, key));
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    caller.keys().associate_kms_key(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_line_of_a_call_has_its_caller_resource_and_trace() {
    let observed = Observed::start(&[]).await;
    let caller = observed.caller().await;
    traced(&caller, &key("good")).await.unwrap();
    let refused = traced(&caller, &key("closed")).await.unwrap_err();
    let no_token = Caller::new(caller.channel(), "nonsense");
    assert_eq!(reason(&no_token.get(GROUP).await.unwrap_err()), "TOKEN_INVALID");
    let lines = observed.log().await;
    let ended: Vec<&Value> = lines.iter().filter(|line| line["message"] == "call ended").collect();
    let [done, failed, rejected] = ended.as_slice() else { panic!("{lines:#?}") };
    for line in [done, failed] {
        assert_eq!(line["tenant"], "payments", "{line}");
        assert_eq!(line["subject"], "someone", "{line}");
        assert_eq!(line["account"], PAYMENTS, "{line}");
        assert_eq!(line["region"], REGION, "{line}");
        assert_eq!(line["trace_id"], TRACE, "{line}");
        let resource = line["resource"].as_str().unwrap();
        assert!(resource.starts_with("arn:aws:logs:") && resource.contains(GROUP), "{line}");
        assert!(line["quota_wait_ms"].as_f64().is_some_and(|wait| wait >= 0.0), "{line}");
        assert!(line["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0), "{line}");
    }
    assert_eq!(done.get("reason"), None, "{done}");
    assert_eq!(failed["reason"], reason(&refused).as_str(), "{failed}");
    assert_eq!(rejected["reason"], "TOKEN_INVALID", "{rejected}");
    assert_eq!(rejected.get("tenant"), None, "{rejected}");
    assert_eq!(rejected.get("trace_id"), None, "{rejected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_the_caller_is_in_errors_and_events() {
    let service = Plan::default().start().await;
    let caller = service.caller("payments", ALL);
    traced(&caller, &key("good")).await.unwrap();
    let refused = traced(&caller, &key("closed")).await.unwrap_err();
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.metadata.get("trace_id").map(String::as_str), Some(TRACE), "{info:?}");
    caller.associate(GROUP, &key("next")).await.unwrap();
    let events = service.events().await;
    let changes = events.iter().filter(|event| event.action == "AssociateKmsKey");
    let traces: Vec<Option<&str>> = changes.map(|event| event.trace.as_deref()).collect();
    let with = |trace: Option<&str>| traces.iter().filter(|found| **found == trace).count();
    assert!(with(Some(TRACE)) >= 3, "{traces:?}");
    assert_eq!(with(None), 2, "only the intent and the outcome of the last change have no trace: {traces:?}");
    assert_eq!(with(Some(TRACE)) + 2, traces.len(), "{traces:?}");
    service.stop().await;
}

/// The names in lines that begin with this text.
fn named<'t>(metrics: &'t str, comment: &str) -> BTreeSet<&'t str> {
    let rest = metrics.lines().filter_map(|line| line.strip_prefix(comment));
    rest.filter_map(|rest| rest.split_whitespace().next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_has_a_help_text_and_closed_sets_exist_at_zero() {
    let observed = Observed::start(&[]).await;
    until("the gauges", async || {
        let metrics = observed.metrics().await;
        let slow = ["\nlogkey_checkpoint_uncovered_events ", "\nlogkey_jwks_age_seconds{"];
        slow.iter().all(|series| metrics.contains(series))
    })
    .await;
    let metrics = observed.metrics().await;
    let (typed, helped) = (named(&metrics, "# TYPE "), named(&metrics, "# HELP "));
    assert_eq!(typed, helped);
    let known: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let unknown: Vec<_> =
        typed.iter().filter(|name| name.starts_with("logkey_") && !known.contains(*name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let count = |start: &str| metrics.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("logkey_requests_total{"), (Action::ALL.len() + 1) * CODES);
    assert_eq!(count("logkey_errors_total{"), Reason::ALL.len());
    let counters = METRICS.iter().filter(|metric| metric.kind == MetricKind::Counter);
    // There is no event queue, and no sink.
    let absent =
        |name: &str| name.starts_with("logkey_group_event") || name.starts_with("logkey_audit_sink_");
    let missing: Vec<&str> =
        counters.map(|metric| metric.name).filter(|name| !typed.contains(name) && !absent(name)).collect();
    assert!(missing.is_empty(), "these counters do not exist from the start: {missing:?}");
    for series in [
        "logkey_ready 1",
        "logkey_leader 1",
        "logkey_audit_writable 1",
        "logkey_settings_refused 0",
        "logkey_limit_shared 0",
        "logkey_pending_changes 0",
        "logkey_pending_changes_oldest_seconds 0",
        "logkey_impaired{component=\"store\"} 0",
        "logkey_errors_total{reason=\"INTERNAL\"} 0",
        "logkey_audit_failures_total 0",
        "logkey_audit_stalls_total 0",
        "logkey_audit_sequencer_failures_total 0",
        "logkey_reloads_total{outcome=\"refused\"} 0",
        "logkey_limit_refused_total{cause=\"overloaded\"} 0",
        "logkey_connections_refused_total{cause=\"silent\"} 0",
        "logkey_upstream_throttled_total{operation=\"AssociateKmsKey\"} 0",
    ] {
        assert!(metrics.lines().any(|line| line == series), "{series} is missing in\n{metrics}");
    }
    for start in [
        "logkey_build_info{version=\"",
        "logkey_checkpoint_age_seconds ",
        "logkey_checkpoint_uncovered_events ",
        "logkey_store_free_bytes ",
        "logkey_jwks_age_seconds{issuer=\"",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_cpu_seconds_total ",
        "process_start_time_seconds ",
    ] {
        assert_eq!(count(start), 1, "{start} in\n{metrics}");
    }
    drop(observed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_is_a_label_only_by_setting() {
    let observed = Observed::start(&[("LOGKEY__TELEMETRY__TENANT_LABEL", "true")]).await;
    let caller = observed.caller().await;
    caller.who_am_i().await.unwrap();
    let unknown: Channel = caller.channel();
    Caller::new(unknown, "nonsense").who_am_i().await.unwrap_err();
    let metrics = observed.metrics().await;
    for (labels, value) in [
        ("code=\"OK\",tenant=\"payments\"", 1),
        ("code=\"UNAUTHENTICATED\",tenant=\"\"", 1),
        ("code=\"INTERNAL\",tenant=\"\"", 0),
    ] {
        let series = format!("logkey_requests_total{{rpc=\"GetCaller\",{labels}}} {value}");
        assert!(metrics.contains(&series), "{series} is missing");
    }
    assert!(metrics.contains("logkey_errors_total{reason=\"TOKEN_INVALID\"} 1"));
    drop(observed);
}
