//! Servers behind Sentinels, and servers of a Cluster.

use std::path::Path;

use super::{
    server::{Server, backends, backends_with, free_port, until},
    *,
};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_follow_a_sentinel_failover_without_a_second_burst() {
    let mut first = Server::start();
    let second = Server::with(free_port(), &["--replicaof", "127.0.0.1", &first.port.to_string()]);
    until(|| second.cli(&["info", "replication"]).contains("master_link_status:up")).await;
    let folder = tempfile::tempdir().unwrap();
    let sentinel = Server::sentinel(folder.path(), first.port);
    until(|| sentinel.cli(&["sentinel", "replicas", "main"]).contains(&second.port.to_string())).await;
    // No server listens on the first address.
    let url = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main", free_port(), sentinel.port);
    let backends = backends(&url.parse().unwrap(), 2, OnBackendError::Share).await;
    let (quotas, tenant) = (quotas(&backends), tenant(1, 30, 1_000));
    let start = Instant::now();
    assert_one_burst(&quotas, &tenant, 60).await;
    first.kill();
    until(|| backends.iter().all(|backend| !backend.is_up())).await;
    until(|| backends.iter().all(|backend| backend.is_up())).await;
    assert_eq!(
        sentinel.cli(&["sentinel", "get-master-addr-by-name", "main"]).lines().last(),
        Some(second.port.to_string().as_str())
    );
    let admitted_count = admitted(&quotas, &tenant, 60).await;
    let max = 20.max(2 * (1 + earned(&tenant, start.elapsed())));
    assert!(
        admitted_count <= max,
        "{admitted_count} within the failover's {:?}, at one per second and replica",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_the_server_get_their_own_passwords() {
    let mut server = Server::with(free_port(), &["--requirepass", "s3rver"]);
    server.password = "s3rver";
    until(|| server.cli(&["ping"]) == "PONG").await;
    let folder = tempfile::tempdir().unwrap();
    let more = "sentinel auth-pass main s3rver\n";
    let sentinel = Server::sentinel_with(folder.path(), server.port, "s3ntinel", more);
    until(|| sentinel.cli(&["sentinel", "ckquorum", "main"]).starts_with("OK")).await;
    let url: RedisUrl = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port).parse().unwrap();
    let with = |server: &str, sentinel: &str| {
        url.clone().with_password(server.into()).with_sentinel_password(sentinel.into())
    };
    let backends = backends(&with("s3rver", "s3ntinel"), 2, OnBackendError::Share).await;
    assert_one_burst(&quotas(&backends), &tenant(1, 30, 1_000), 60).await;

    let without = url.clone().with_password("s3rver".into());
    for bad_url in [without, with("s3rver", "guess"), with("s3ntinel", "s3rver")] {
        let backend = RedisBackend::start(&bad_url, OnBackendError::Refuse, TEST_TIMEOUT).unwrap();
        until(|| backend.attempts.load(SeqCst) >= 3).await;
        assert!(!backend.is_up() && !backend.state().up);
    }
}

/// Starts a Cluster of three servers, each with a third of the hash slots. `start` gets the settings of a
/// server.
pub(super) async fn cluster(folder: &Path, start: impl Fn(&[&str]) -> Server) -> [Server; 3] {
    let buses = [(); 3].map(|()| free_port().to_string());
    let node = |nth: usize| {
        let dir = folder.join(nth.to_string());
        std::fs::create_dir(&dir).unwrap();
        start(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &buses[nth],
            "--cluster-node-timeout",
            "1000",
            "--cluster-require-full-coverage",
            "no",
            "--dir",
            &dir.display().to_string(),
        ])
    };
    let nodes = [node(0), node(1), node(2)];
    for node in &nodes {
        until(|| node.cli(&["ping"]) == "PONG").await;
    }
    for (nth, node) in nodes.iter().enumerate() {
        let (from, to) = [("0", "5461"), ("5462", "10922"), ("10923", "16383")][nth];
        assert_eq!(node.cli(&["cluster", "addslotsrange", from, to]), "OK");
        for (other, bus) in nodes.iter().zip(&buses) {
            assert_eq!(node.cli(&["cluster", "meet", "127.0.0.1", &other.port.to_string(), bus]), "OK");
        }
    }
    let whole = |node: &Server| {
        let info = node.cli(&["cluster", "info"]);
        info.contains("cluster_state:ok")
            && info.contains("cluster_slots_ok:16384")
            && info.contains("cluster_known_nodes:3")
    };
    for node in &nodes {
        until(|| whole(node)).await;
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_outlives_the_loss_of_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = cluster(folder.path(), |more| Server::with(free_port(), more)).await;
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[1].port);
    let backends = backends_with(&url.parse().unwrap(), 2, OnBackendError::Share, TEST_TIMEOUT).await;
    let quotas = quotas(&backends);

    let node_of = |key: &str| {
        let slot: usize = nodes[0].cli(&["cluster", "keyslot", key]).parse().unwrap();
        [5462, 10923, 16384].iter().position(|end| slot < *end).unwrap()
    };
    let heartbeat_node = node_of("logkey:replicas");
    let mut of_node = [None, None, None];
    for nth in 0..50 {
        let id = format!("tenant-{nth}");
        of_node[node_of(&format!("logkey:{{{id}}}:rate"))].get_or_insert(id);
    }
    for id in of_node.iter().flatten() {
        let tenant = Tenant { id: id.parse().unwrap(), ..tenant(1, 30, 1_000) };
        assert_one_burst(&quotas, &tenant, 60).await;
    }
    let counted = Instant::now();

    let killed = (heartbeat_node + 1) % 3;
    nodes[killed].kill();
    let (lost, alive) = (of_node[killed].clone().unwrap(), of_node[(killed + 1) % 3].clone().unwrap());
    let one = |id: &str| Tenant { id: id.parse().unwrap(), ..tenant(1, 30, 1_000) };
    let start = Instant::now();
    let admitted_count = admitted(&quotas, &one(&lost), 60).await;
    let max = 3 + earned(&one(&lost), counted.elapsed());
    assert!(
        admitted_count <= max && start.elapsed() < 20 * TEST_TIMEOUT,
        "{admitted_count} in {:?}",
        start.elapsed()
    );
    until(|| backends.iter().all(|backend| backend.is_up())).await;
    let admitted_count = admitted(&quotas, &one(&alive), 60).await;
    let max = 20.max(2 * (1 + earned(&one(&alive), counted.elapsed())));
    assert!(
        admitted_count <= max,
        "{admitted_count} in {:?}: the other tenants are counted as before",
        counted.elapsed()
    );
}
