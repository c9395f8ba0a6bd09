//! A rolling update under load behind `haproxy`: `tests/run rolling`, which installs it.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::task::JoinSet;

use super::{connect, probe, until};
use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::{ALL, Caller, GROUP, Plan, Postgres, Service, key},
    process::{send_signal, serving},
};

/// The number of connections with one call in flight each.
const CALLERS: usize = 8;
/// The interval of the proxy's health checks is a tenth of this.
const DRAIN_DELAY: &str = "3s";

/// The addresses for gRPC and for the admin port.
#[derive(Clone, Copy)]
struct Ports {
    grpc: SocketAddr,
    admin: SocketAddr,
}

/// `haproxy` in front of the replicas.
struct Proxy {
    _process: KillOnDrop,
    grpc: SocketAddr,
    stats: SocketAddr,
}

fn ports() -> Ports {
    let [grpc, admin] = free_addresses().unwrap();
    Ports { grpc, admin }
}

fn replica(service: &Service, Ports { grpc, admin }: Ports) -> KillOnDrop {
    let mut command = serving(&service.settings());
    command
        .env("LOGKEY__SERVER__LISTEN", grpc.to_string())
        .env("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())
        .env("LOGKEY__SERVER__DRAIN_DELAY", DRAIN_DELAY);
    KillOnDrop(command.spawn().unwrap())
}

impl Proxy {
    fn start(folder: &Path, replicas: &[Ports]) -> Self {
        let Ports { grpc, admin: stats } = ports();
        let mut servers = String::new();
        for (nth, Ports { grpc, admin }) in replicas.iter().enumerate() {
            let check = format!("check check-proto h1 port {}", admin.port());
            writeln!(servers, "  server replica{nth} {grpc} proto h2 {check}").unwrap();
        }
        let config = format!(
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  \
               timeout check 2s\n\
             frontend grpc\n  bind {grpc} proto h2\n  default_backend logkey\n\
             backend logkey\n  balance roundrobin\n  option httpchk GET /readyz\n  \
               default-server inter 300ms fall 1 rise 1\n{servers}\
             frontend stats\n  bind {stats}\n  stats enable\n  stats uri /\n"
        );
        let path = folder.join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let process = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("HAProxy is needed (apt-get install haproxy): {error}"));
        Self { _process: KillOnDrop(process), grpc, stats }
    }

    /// Waits until the proxy sends calls to every replica.
    async fn until_all_are_up(&self, replicas: usize) {
        until("every replica to be up in HAProxy", async || {
            let (_, csv) = probe(self.stats, ";csv").await;
            csv.lines().filter(|line| line.starts_with("logkey,replica") && line.contains(",UP,")).count()
                == replicas
        })
        .await;
    }
}

/// Calls until `stop`, and returns how the failed calls ended.
async fn call_until(caller: Caller, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(SeqCst) {
        if let Err(status) = caller.get(GROUP).await {
            failures.push(format!("GetKeyAssociation: {status:?}"));
        }
        if let Err(status) = caller.associate(GROUP, &key("good")).await {
            failures.push(format!("AssociateKmsKey: {status:?}"));
        }
        done.fetch_add(2, SeqCst);
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy: run `tests/run rolling`"]
async fn a_rolling_update_under_load_loses_no_call() {
    let postgres = Postgres::start().await;
    // This replica has the embedded AWS and the issuer. The proxy does not know it.
    let service = Plan::default().over(&postgres).start().await;
    let addresses = [ports(), ports(), ports()];
    let mut replicas: Vec<KillOnDrop> = addresses.iter().map(|ports| replica(&service, *ports)).collect();
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path(), &addresses);
    proxy.until_all_are_up(addresses.len()).await;

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let channel = connect(proxy.grpc).await.unwrap();
        let caller = Caller::new(channel, &service.issuer.token("payments", ALL));
        callers.spawn(call_until(caller, Arc::clone(&stop), Arc::clone(&done)));
    }
    for (replica_slot, ports) in replicas.iter_mut().zip(addresses) {
        let before = done.load(SeqCst);
        until("calls with every replica", async || done.load(SeqCst) > before + 100).await;
        send_signal(replica_slot, "-TERM");
        until("the end of a replica", async || replica_slot.try_wait().unwrap().is_some()).await;
        assert!(replica_slot.wait().unwrap().success());
        *replica_slot = replica(&service, ports);
        until("a new replica", async || probe(ports.admin, "readyz").await.0 == 200).await;
        proxy.until_all_are_up(addresses.len()).await;
    }
    stop.store(true, SeqCst);
    let failures: Vec<String> = callers.join_all().await.into_iter().flatten().collect();
    let total = done.load(SeqCst);
    assert!(failures.is_empty(), "{} of {total} calls were lost: {:#?}", failures.len(), failures.first());
    assert!(total > 300, "{total} calls");
    service.stop().await;
}
