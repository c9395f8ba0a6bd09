//! Servers that are found in other ways: by Sentinels, in a Cluster.

use std::path::Path;

use super::{
    server::{Server, free_port, links, links_with, until},
    *,
};

#[tokio::test(flavor = "multi_thread")]
async fn where_sentinels_fail_over_replicas_follow_and_there_is_no_second_burst() {
    let mut first = Server::start();
    let second = Server::with(free_port(), &["--replicaof", "127.0.0.1", &first.port.to_string()]);
    until(|| second.cli(&["info", "replication"]).contains("master_link_status:up")).await;
    let folder = tempfile::tempdir().unwrap();
    let sentinel = Server::sentinel(folder.path(), first.port);
    until(|| sentinel.cli(&["sentinel", "replicas", "main"]).contains(&second.port.to_string())).await;
    // The first of the addresses is nobody's.
    let url = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main", free_port(), sentinel.port);
    let links = links(&url.parse().unwrap(), 2, OnBackendError::Share).await;
    let (quotas, tenant) = (quotas(&links), tenant(1, 30, 1_000));
    let start = Instant::now();
    give_one_burst(&quotas, &tenant, 60).await;
    first.kill();
    until(|| links.iter().all(|link| !link.is_up())).await;
    until(|| links.iter().all(|link| link.is_up())).await;
    assert_eq!(
        sentinel.cli(&["sentinel", "get-master-addr-by-name", "main"]).lines().last(),
        Some(second.port.to_string().as_str())
    );
    let given = admitted(&quotas, &tenant, 60).await;
    let max = 20.max(2 * (1 + earned(&tenant, start.elapsed())));
    assert!(given <= max, "{given} within the failover's {:?}, at one a second and replica", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_ask_for_a_password_of_their_own_get_it_and_the_server_gets_its_own() {
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
    let links = links(&with("s3rver", "s3ntinel"), 2, OnBackendError::Share).await;
    give_one_burst(&quotas(&links), &tenant(1, 30, 1_000), 60).await;

    let without = url.clone().with_password("s3rver".into());
    for bad_url in [without, with("s3rver", "guess"), with("s3ntinel", "s3rver")] {
        let link = RedisBackend::start(&bad_url, OnBackendError::Refuse, LONG).unwrap();
        until(|| link.attempts.load(SeqCst) >= 3).await;
        assert!(!link.is_up() && !link.state().serves);
    }
}

/// A Cluster of three, each with a third of the slots. The servers get a folder, a port of their own for
/// each other, and further settings.
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
async fn in_a_cluster_tenants_are_counted_where_their_keys_are_and_the_rest_outlives_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = cluster(folder.path(), |more| Server::with(free_port(), more)).await;
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[1].port);
    let links = links_with(&url.parse().unwrap(), 2, OnBackendError::Share, LONG).await;
    let quotas = quotas(&links);

    let location = |key: &str| {
        let slot: usize = nodes[0].cli(&["cluster", "keyslot", key]).parse().unwrap();
        [5462, 10923, 16384].iter().position(|end| slot < *end).unwrap()
    };
    let beats = location("logkey:replicas");
    let mut of_node = [None, None, None];
    for nth in 0..50 {
        let id = format!("tenant-{nth}");
        of_node[location(&format!("logkey:{{{id}}}:rate"))].get_or_insert(id);
    }
    for id in of_node.iter().flatten() {
        let tenant = Tenant { id: id.parse().unwrap(), ..tenant(1, 30, 1_000) };
        give_one_burst(&quotas, &tenant, 60).await;
    }
    let counted = Instant::now();

    let gone = (beats + 1) % 3;
    nodes[gone].kill();
    let (lost, alive) = (of_node[gone].clone().unwrap(), of_node[(gone + 1) % 3].clone().unwrap());
    let one = |id: &str| Tenant { id: id.parse().unwrap(), ..tenant(1, 30, 1_000) };
    let start = Instant::now();
    let given = admitted(&quotas, &one(&lost), 60).await;
    let max = 3 + earned(&one(&lost), counted.elapsed());
    assert!(given <= max && start.elapsed() < 20 * LONG, "{given} in {:?}", start.elapsed());
    until(|| links.iter().all(|link| link.is_up())).await;
    let given = admitted(&quotas, &one(&alive), 60).await;
    let max = 20.max(2 * (1 + earned(&one(&alive), counted.elapsed())));
    assert!(given <= max, "{given} in {:?}: the others are counted as before", counted.elapsed());
}
