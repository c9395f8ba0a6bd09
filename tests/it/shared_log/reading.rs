//! Reads the log while another replica sequences it, and detects changes of the server's tables.

use std::time::Duration;

use logkey::{
    audit::checkpoint,
    proto::{
        GetCheckpointRequest, GetInclusionProofRequest, WatchAuditEventsRequest,
        audit_service_client::AuditServiceClient,
    },
};
use tlog_tiles::Hash;
use tokio::time::timeout;

use super::{assert_intact, run};
use crate::{
    harness::{ALL, GROUP, Plan, Postgres, key},
    process::logkey,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_shows_and_proves_events_that_another_replica_recorded() {
    let postgres = Postgres::start().await;
    let first = Plan::default().over(&postgres).start().await;
    let second = first.replica().await;
    let reader = second.caller("payments", "logkey:audit");
    let mut audit = AuditServiceClient::new(reader.channel());
    let watch = WatchAuditEventsRequest { after_position: Some(0), filter: None };
    let mut stream = audit.watch_audit_events(reader.request(watch)).await.unwrap().into_inner();
    let mut changed = Vec::new();
    for n in 0..4 {
        let service = if n % 2 == 0 { &first } else { &second };
        let answer = service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
        changed.push(answer.audit_event_id);
    }
    let mut received = Vec::new();
    let all = async {
        while received.len() < 4 {
            let batch = stream.message().await.unwrap().unwrap();
            received.extend(batch.events.into_iter().filter(|event| event.kind == "outcome"));
        }
    };
    timeout(Duration::from_mins(1), all).await.unwrap();
    assert!(received.is_sorted_by(|one, other| one.position < other.position));
    assert_eq!(
        received.iter().map(|event| &event.id).collect::<Vec<_>>(),
        changed.iter().collect::<Vec<_>>()
    );
    drop(stream);

    let head = audit.get_checkpoint(reader.request(GetCheckpointRequest {})).await.unwrap().into_inner();
    for event in &received {
        let message = GetInclusionProofRequest { event_id: event.id.clone(), tree_size: 0 };
        let proof = audit.get_inclusion_proof(reader.request(message)).await.unwrap().into_inner();
        let signed = checkpoint::read(proof.checkpoint.as_bytes(), "logkey", &head.verifier_keys).unwrap();
        let hashes: Vec<Hash> = proof.hashes.iter().map(|hash| Hash(hash[..].try_into().unwrap())).collect();
        let leaf = tlog_tiles::record_hash(event.json.as_bytes());
        let index = u64::try_from(proof.leaf_index).unwrap();
        tlog_tiles::check_record(&hashes, signed.size(), *signed.hash(), index, leaf).unwrap();
    }
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_detects_changes_of_the_tables_of_the_server() {
    let postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    for id in ["good", "next", "good"] {
        service.caller("payments", ALL).associate(GROUP, &key(id)).await.unwrap();
    }
    assert_intact(&service, &postgres).await;
    let out = tempfile::tempdir().unwrap();
    run(&service, &["audit", "export", "--out", out.path().to_str().unwrap()]).await;
    let kept_checkpoint = out.path().join("checkpoint").display().to_string();
    let mut session = postgres.session("logkey").await;
    // Each change is undone before the next.
    for (change, undo, words) in [
        (
            "UPDATE event SET body = replace(body, 'payments', 'orders') WHERE seq = 2",
            "UPDATE event SET body = replace(body, 'orders', 'payments') WHERE seq = 2",
            "event 2 was altered",
        ),
        (
            "UPDATE event SET tenant = 'orders' WHERE seq = 3",
            "UPDATE event SET tenant = 'payments' WHERE seq = 3",
            "the index of event 3 does not match its bytes: tenant",
        ),
        (
            "CREATE TABLE away AS SELECT * FROM event WHERE seq = 4; DELETE FROM event WHERE seq = 4",
            "INSERT INTO event SELECT * FROM away; DROP TABLE away",
            "events 4 to 4 were removed",
        ),
    ] {
        sqlx::raw_sql(change).execute(&mut session).await.unwrap();
        let config = service.settings().display().to_string();
        let kept_checkpoint = kept_checkpoint.clone();
        let verify = move || {
            logkey(&["audit", "verify", "--config", &config, "--checkpoint", &kept_checkpoint])
                .output()
                .unwrap()
        };
        let result = tokio::task::spawn_blocking(verify).await.unwrap();
        let output = String::from_utf8_lossy(&[result.stdout, result.stderr].concat()).into_owned();
        assert!(result.status.code() == Some(1) && output.starts_with(words), "{change}: {output}");
        sqlx::raw_sql(undo).execute(&mut session).await.unwrap();
    }
    assert_intact(&service, &postgres).await;
    service.stop().await;
}
