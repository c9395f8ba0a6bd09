//! The metrics of the binary for each limit, under load.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use logkey::{
    proto::{GetKeyAssociationRequest, get_key_association_request},
    sandbox::fault::{Effect, Fault},
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::replicas::Redis;
use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{ALL, Caller, GROUP, ORDERS, PAYMENTS, Plan, Service, key, reason, tenant},
    process::serving,
};

const PLENTY: &str = "{ per_second = 100000, burst = 100000, max_in_flight = 100 }";

/// A separate process with the settings and the embedded AWS of an in-process service. It ends with the test.
pub(super) struct Live<'a> {
    in_process: &'a Service,
    _process: KillOnDrop,
    _folder: TempDir,
    admin: String,
    pub(super) grpc: SocketAddr,
    channel: Channel,
}

impl<'a> Live<'a> {
    async fn start(in_process: &'a Service) -> Self {
        Self::start_with(in_process, "").await
    }

    /// Starts the process with additional settings of `[server]`.
    pub(super) async fn start_with(in_process: &'a Service, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [grpc, admin] = free_addresses().unwrap();
        let store = |folder: &Path| folder.join("logkey.db").display().to_string();
        let settings = std::fs::read_to_string(in_process.settings()).unwrap();
        let settings =
            settings.replace(&store(in_process.settings().parent().unwrap()), &store(folder.path()));
        let path = folder.path().join("logkey.toml");
        let server = format!(
            "[server]\nlisten = \"{grpc}\"\nadmin_listen = \"{admin}\"\ndrain_delay = \"0s\"\n{more}"
        );
        std::fs::write(&path, server + &settings).unwrap();
        let process = KillOnDrop(serving(&path).spawn().unwrap());
        let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
        let live = Self {
            in_process,
            _process: process,
            _folder: folder,
            admin: format!("http://{admin}"),
            grpc,
            channel,
        };
        until(async || live.get("readyz").await.is_some()).await;
        live
    }

    /// The response of the admin port, if it is successful.
    async fn get(&self, path: &str) -> Option<String> {
        let answer = reqwest::get(format!("{}/{path}", self.admin)).await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    /// The value of a series, or zero if the series does not exist.
    pub(super) async fn metric(&self, series: &str) -> f64 {
        let output = self.get("metrics").await.unwrap();
        let value = output.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    async fn refused(&self, cause: &str) -> f64 {
        self.metric(&format!("logkey_limit_refused_total{{cause=\"{cause}\"}}")).await
    }

    fn caller(&self, tenant: &str) -> Caller {
        Caller::new(self.channel.clone(), &self.in_process.issuer.token(tenant, ALL))
    }
}

pub(super) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_mins(1), "the condition never held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Calls until a call is rejected, and returns the reason.
async fn until_rejected(caller: &Caller) -> String {
    loop {
        if let Err(status) = caller.who_am_i().await {
            return reason(&status);
        }
    }
}

pub(super) fn is_close(value: f64, expected: f64) -> bool {
    (value - expected).abs() < 0.001
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_rejected_calls_of_tenants_and_invalid_tokens() {
    let limits = "{ per_second = 1, burst = 3, max_in_flight = 1 }";
    let tenants = tenant("payments", PAYMENTS, PLENTY) + &tenant("orders", ORDERS, limits);
    let service = Box::pin(Plan::default().tenants(&tenants).start()).await;
    let live = Box::pin(Live::start(&service)).await;
    for cause in ["tenant_rate", "tenant_in_flight", "failed_authentications"] {
        assert!(is_close(live.refused(cause).await, 0.0), "{cause}");
    }
    service.sandbox.sandbox().fault(Fault::on("DescribeLogGroups", Effect::Hang).in_account(ORDERS));
    let orders = live.caller("orders");
    let hanging = orders.clone();
    let hung = tokio::spawn(async move { hanging.get("/orders/api").await });
    until(async || !service.reached("DescribeLogGroups").is_empty()).await;
    assert_eq!(until_rejected(&orders).await, "TENANT_CONCURRENCY_LIMITED");
    assert!(is_close(live.refused("tenant_in_flight").await, 1.0));
    hung.abort();
    until(async || until_rejected(&orders).await == "TENANT_RATE_LIMITED").await;
    assert!(is_close(live.refused("tenant_rate").await, 1.0));

    let unauthenticated = Caller::new(live.channel.clone(), "no.good.token");
    while until_rejected(&unauthenticated).await != "OVERLOADED" {}
    assert!(is_close(live.refused("failed_authentications").await, 1.0));
    live.caller("payments").who_am_i().await.unwrap();
    drop(live);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_waiting_and_rejected_calls_and_the_effective_rate() {
    let slow = "[limits.upstream]\ndescribe_per_second = 1\n";
    let service = Box::pin(Plan::default().settings(slow).start()).await;
    let live = Box::pin(Live::start(&service)).await;
    let caller = live.caller("payments");
    let throttled = "logkey_upstream_throttled_total{operation=\"AssociateKmsKey\"}";
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", Effect::Throttle).times(1));
    caller.associate(GROUP, &key("good")).await.unwrap();
    assert!(is_close(live.metric(throttled).await, 1.0));
    let output = live.get("metrics").await.unwrap();
    let series = "logkey_upstream_rate_limit_per_second{";
    let effective_rate = output.lines().find(|line| line.starts_with(series)).unwrap();
    assert!(
        effective_rate.contains(PAYMENTS) && effective_rate.contains("AssociateKmsKey"),
        "{effective_rate}"
    );
    let effective_rate: f64 = effective_rate.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((4.0..5.0).contains(&effective_rate), "{effective_rate} of 5 a second");

    let waiting = "logkey_upstream_waiting{operation=\"DescribeLogGroups\"}";
    let mut calls = JoinSet::new();
    for _ in 0..6 {
        let caller = caller.clone();
        calls.spawn(async move { caller.get(GROUP).await });
    }
    until(async || live.metric(waiting).await >= 3.0).await;
    let target = Some(get_key_association_request::Target::LogGroupName(GROUP.into()));
    let mut request = caller.request(GetKeyAssociationRequest { target, ..Default::default() });
    request.set_timeout(Duration::from_millis(500));
    let status = caller.keys().get_key_association(request).await.unwrap_err();
    assert_eq!(reason(&status), "ACCOUNT_BUDGET_EXHAUSTED");
    assert!(is_close(live.refused("account_budget").await, 1.0));
    for finished in calls.join_all().await {
        finished.unwrap();
    }
    assert!(is_close(live.metric(waiting).await, 0.0));
    let waits = "logkey_upstream_wait_seconds_count{operation=\"DescribeLogGroups\"}";
    assert!(live.metric(waits).await >= 6.0);
    drop(live);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_whether_redis_answers() {
    let mut redis = Redis::start();
    let backend = format!("[limits]\nbackend = \"redis://127.0.0.1:{}\"\n", redis.port);
    let service = Box::pin(Plan::default().settings(&backend).start()).await;
    let live = Box::pin(Live::start(&service)).await;
    until(async || is_close(live.metric("logkey_limit_backend_up").await, 1.0)).await;
    until(async || is_close(live.metric("logkey_limit_replicas").await, 2.0)).await;
    let caller = live.caller("payments");
    until(async || {
        caller.who_am_i().await.unwrap();
        live.metric("logkey_limit_backend_seconds_count").await >= 1.0
    })
    .await;
    let before = live.metric("logkey_limit_backend_errors_total").await;
    redis.end();
    until(async || is_close(live.metric("logkey_limit_backend_up").await, 0.0)).await;
    until(async || is_close(live.metric("logkey_impaired{component=\"limits\"}").await, 1.0)).await;
    until(async || {
        caller.who_am_i().await.unwrap();
        live.metric("logkey_limit_backend_errors_total").await > before
    })
    .await;
    drop(live);
    service.stop().await;
}
