//! Servers that are found in other ways: by Sentinels, in a Cluster, over TLS with a password.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

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
    let most = 20.max(2 * (1 + earned(&tenant, start.elapsed())));
    assert!(
        given <= most,
        "{given} within the failover's {:?}, at one a second and replica",
        start.elapsed()
    );
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
    for refused in [without, with("s3rver", "guess"), with("s3ntinel", "s3rver")] {
        let link = Link::start(&refused, OnBackendError::Refuse, LONG).unwrap();
        until(|| link.attempts.load(SeqCst) >= 3).await;
        assert!(!link.is_up() && !link.state().serves);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_tenants_are_counted_where_their_keys_are_and_the_rest_outlives_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut nodes: Vec<_> = (0..3)
        .map(|nth| {
            let (port, bus) = (free_port(), free_port());
            let dir = folder.path().join(nth.to_string());
            std::fs::create_dir(&dir).unwrap();
            let node = Server::with(
                port,
                &[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus.to_string(),
                    "--cluster-node-timeout",
                    "1000",
                    "--cluster-require-full-coverage",
                    "no",
                    "--dir",
                    &dir.display().to_string(),
                ],
            );
            (node, bus)
        })
        .collect();
    for (node, _) in &nodes {
        until(|| node.cli(&["ping"]) == "PONG").await;
    }
    for (nth, (node, _)) in nodes.iter().enumerate() {
        let (from, to) = [("0", "5461"), ("5462", "10922"), ("10923", "16383")][nth];
        assert_eq!(node.cli(&["cluster", "addslotsrange", from, to]), "OK");
        for (other, bus) in &nodes {
            let (port, bus) = (other.port.to_string(), bus.to_string());
            assert_eq!(node.cli(&["cluster", "meet", "127.0.0.1", &port, &bus]), "OK");
        }
    }
    let whole = |node: &Server| {
        let info = node.cli(&["cluster", "info"]);
        info.contains("cluster_state:ok")
            && info.contains("cluster_slots_ok:16384")
            && info.contains("cluster_known_nodes:3")
    };
    for (node, _) in &nodes {
        until(|| whole(node)).await;
    }
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].0.port, nodes[1].0.port);
    let links = links_with(&url.parse().unwrap(), 2, OnBackendError::Share, LONG).await;
    let quotas = quotas(&links);

    let place = |key: &str| {
        let slot: usize = nodes[0].0.cli(&["cluster", "keyslot", key]).parse().unwrap();
        [5462, 10923, 16384].iter().position(|end| slot < *end).unwrap()
    };
    let beats = place("logkey:replicas");
    let mut of_node = [None, None, None];
    for nth in 0..50 {
        let id = format!("tenant-{nth}");
        of_node[place(&format!("logkey:{{{id}}}:rate"))].get_or_insert(id);
    }
    for id in of_node.iter().flatten() {
        let tenant = Tenant { id: id.parse().unwrap(), ..tenant(1, 30, 1_000) };
        give_one_burst(&quotas, &tenant, 60).await;
    }
    let counted = Instant::now();

    let gone = (beats + 1) % 3;
    nodes[gone].0.kill();
    let (lost, kept) = (of_node[gone].clone().unwrap(), of_node[(gone + 1) % 3].clone().unwrap());
    let one = |id: &str| Tenant { id: id.parse().unwrap(), ..tenant(1, 30, 1_000) };
    let start = Instant::now();
    let given = admitted(&quotas, &one(&lost), 60).await;
    let most = 3 + earned(&one(&lost), counted.elapsed());
    assert!(given <= most && start.elapsed() < 20 * LONG, "{given} in {:?}", start.elapsed());
    until(|| links.iter().all(|link| link.is_up())).await;
    let given = admitted(&quotas, &one(&kept), 60).await;
    let most = 20.max(2 * (1 + earned(&one(&kept), counted.elapsed())));
    assert!(given <= most, "{given} in {:?}: the others are counted as before", counted.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_and_a_password_is_reached_with_its_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
    };
    let (ca, issuer) = authority();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ca_file, cert, key) =
        (file("ca.pem", &ca), file("cert.pem", &certificate.pem()), file("key.pem", &key.serialize_pem()));
    let port = free_port();
    let _server = Server::with(
        port,
        &[
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca_file,
            "--tls-auth-clients",
            "no",
            "--requirepass",
            "s3cret",
        ],
    );
    let url: RedisUrl = format!("rediss://127.0.0.1:{port}").parse().unwrap();
    let good = url.clone().with_ca(ca.clone().into_bytes()).with_password("s3cret".into());
    let links = links(&good, 2, OnBackendError::Share).await;
    give_one_burst(&quotas(&links), &tenant(1, 30, 1_000), 60).await;

    let other = url.clone().with_ca(authority().0.into_bytes()).with_password("s3cret".into());
    let wrong = url.with_ca(ca.into_bytes()).with_password("guess".into());
    for refused in [other, wrong] {
        let link = Link::start(&refused, OnBackendError::Refuse, LONG).unwrap();
        until(|| link.attempts.load(SeqCst) >= 3).await;
        assert!(!link.is_up());
        assert!(!link.state().serves);
    }
}
