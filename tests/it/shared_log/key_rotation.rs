//! The leader's work while the lead moves between replicas: signing with a key that is rotated, and feeding
//! the sinks.

use std::collections::HashSet;

use logkey::{audit::checkpoint::SigningKey, store};

use super::{Replica, assert_intact, make_second_leader, run, until};
use crate::{
    harness::{ALL, GROUP, ORDERS, PAYMENTS, Plan, Postgres, key, tenant},
    process::logkey,
};

const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

#[tokio::test(flavor = "multi_thread")]
async fn the_signing_key_can_be_rotated_while_the_lead_moves() {
    let postgres = Postgres::start().await;
    let first = Plan::default().over(&postgres).start().await;
    let second = Replica::spawn(&first, &postgres).await;
    let tenants = tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS);
    let verifier = || SigningKey::open(&postgres.key_file(), "logkey").unwrap().verifier().to_owned();
    let change = async |id: &str| {
        first.caller("payments", ALL).associate(GROUP, &key(id)).await.unwrap();
    };
    change("good").await;
    assert_intact(&first, &postgres).await;
    let old = verifier();

    let output = run(&first, &["audit", "rotate-key"]).await;
    assert!(output.contains("services are running: give each of them this file"), "{output}");
    let new = verifier();
    assert_ne!(old, new);
    // Each replica becomes the leader at a time when only the other one has both keys.
    first.reload(&tenants).await;
    change("next").await;
    assert_intact(&first, &postgres).await;
    make_second_leader(&postgres).await;
    change("good").await;
    assert_intact(&first, &postgres).await;
    second.reload();
    until("a checkpoint by the new key", async || {
        change("next").await;
        let config = first.settings();
        let mut finished = logkey(&["audit", "rotate-key", "--end", "--config", config.to_str().unwrap()]);
        tokio::task::spawn_blocking(move || finished.output().unwrap().status.success()).await.unwrap()
    })
    .await;
    assert_eq!(verifier(), new);
    second.reload();
    first.reload(&tenants).await;
    second.kill();
    change("good").await;
    assert_intact(&first, &postgres).await;
    for trusted_keys in [&old, &new] {
        assert!(run(&first, &["audit", "verify", "--verifier", trusted_keys]).await.contains("intact: "));
    }
    let named = run(&first, &["audit", "list", "--action", "RotateKey", "--json"]).await;
    assert!(named.contains(&old) && named.contains(&new), "{named}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_misses_nothing_while_the_lead_moves_and_returns() {
    let (postgres, files) = (Postgres::start().await, tempfile::tempdir().unwrap());
    let sink = files.path().join("sink.jsonl");
    let sinks = format!("[[audit.sinks]]\ntype = \"file\"\npath = \"{}\"\n", sink.display());
    let first = Plan::default().over_with(&postgres, &sinks).start().await;
    let open = store::open_reader(&store::Config { url: postgres.url() }).await.unwrap();
    // The sink's distinct lines in order of first appearance. Delivery is at least once.
    let delivered = || {
        let (text, mut before) = (std::fs::read_to_string(&sink).unwrap_or_default(), HashSet::new());
        let events = text.lines().filter(|line| line.contains("class_uid"));
        events.filter(|line| before.insert(line.to_string())).map(str::to_owned).collect::<Vec<_>>()
    };
    let all = async || {
        let all = open.log.after(0, 1_000).await.unwrap();
        all.into_iter().map(|event| event.body).collect::<Vec<_>>()
    };
    let caught_up = async |leader: &str| {
        first.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
        until(leader, async || delivered().len() >= all().await.len()).await;
        assert_eq!(delivered(), all().await, "{leader}");
    };
    caught_up("the first replica to feed the sink").await;
    let second = Replica::spawn(&first, &postgres).await;
    make_second_leader(&postgres).await;
    caught_up("the second replica to feed the sink").await;
    second.kill();
    caught_up("the first replica to feed the sink again").await;
    first.stop().await;
}
