//! A server that crashes, hangs and recovers.

use std::{collections::BTreeSet, process::Command};

use sqlx::Row as _;

use super::{assert_intact, readiness, until};
use crate::harness::{ALL, GROUP, Plan, Postgres, Service, key, reason};

/// A second log group. During an outage it is unknown whether the first call's intent was stored, so that
/// call still locks its log group.
const OTHER: &str = "/payments/hash#1";

async fn assert_unavailable(service: &Service, group: &str) {
    let error = service.caller("payments", ALL).associate(group, &key("next")).await.unwrap_err();
    assert_eq!(reason(&error), "AUDIT_UNAVAILABLE", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_while_the_server_is_down_and_service_resumes_after() {
    let mut postgres = Postgres::start().await;
    let plan = Plan::default().settings("[server]\nrequest_timeout = \"4s\"\n");
    let service = plan.over(&postgres).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let sent = || service.reached("AssociateKmsKey").len();
    assert_eq!(sent(), 1);

    postgres.crash();
    assert_unavailable(&service, GROUP).await;
    until("unreadiness", async || readiness(service.admin).await == 503).await;
    assert_unavailable(&service, OTHER).await;
    assert_eq!(sent(), 1, "a change was sent without an intent");
    postgres.up().await;
    until("readiness", async || readiness(service.admin).await == 200).await;
    caller.associate(GROUP, &key("next")).await.unwrap();
    assert_eq!(sent(), 2);

    postgres.hang();
    // The service answers before its own request timeout.
    assert_unavailable(&service, GROUP).await;
    until("unreadiness", async || readiness(service.admin).await == 503).await;
    assert_unavailable(&service, OTHER).await;
    assert_eq!(sent(), 2, "a change was sent without an intent");
    postgres.resume();
    until("readiness", async || readiness(service.admin).await == 200).await;
    caller.associate(GROUP, &key("good")).await.unwrap();
    assert_eq!(sent(), 3);
    assert_intact(&service, &postgres).await;
    assert_intents_closed(&service, 3).await;
    service.stop().await;
}

/// Asserts that the log has exactly the changes that were made, and that no intent has two outcomes.
async fn assert_intents_closed(service: &Service, changed: usize) {
    let events = service.events().await;
    let closes: Vec<&String> = events
        .iter()
        .filter(|event| event.kind == "outcome")
        .filter_map(|event| event.closes.as_ref())
        .collect();
    let distinct: BTreeSet<&String> = closes.iter().copied().collect();
    assert_eq!(closes.len(), distinct.len(), "two outcomes of one intent");
    let intents: BTreeSet<&String> =
        events.iter().filter(|event| event.kind == "intent").map(|event| &event.id).collect();
    assert!(distinct.is_subset(&intents), "an outcome without its intent");
    let count = |outcome: &str| {
        events
            .iter()
            .filter(|event| event.kind == "outcome" && event.outcome.as_deref() == Some(outcome))
            .count()
    };
    assert_eq!(
        count("OK"),
        changed,
        "{:#?}",
        events.iter().map(|event| (&event.kind, &event.outcome)).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_process_killed_during_a_commit_loses_and_repeats_nothing() {
    let postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let mut load = tokio::task::JoinSet::new();
    for group in [GROUP, OTHER] {
        let caller = caller.clone();
        load.spawn(async move {
            let mut changed = 0_usize;
            while changed < 60 {
                let key = key(if changed.is_multiple_of(2) { "next" } else { "good" });
                match caller.associate(group, &key).await {
                    Ok(_) => changed += 1,
                    // The server is restarting.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                }
            }
        });
    }
    for _ in 0..3 {
        let before = service.reached("AssociateKmsKey").len();
        until("more calls", async || service.reached("AssociateKmsKey").len() > before + 5).await;
        let mut session = postgres.session("logkey").await;
        let writer = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT append%'";
        let pid: i32 = sqlx::query(writer).fetch_one(&mut session).await.unwrap().get(0);
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        until("unreadiness", async || {
            readiness(service.admin).await == 503 || session_ends(&mut session).await
        })
        .await;
        until("readiness", async || readiness(service.admin).await == 200).await;
    }
    load.join_all().await;
    assert_intact(&service, &postgres).await;
    assert_intents_closed(&service, service.reached("AssociateKmsKey").len()).await;
    service.stop().await;
}

/// Whether the session has ended. PostgreSQL restarts completely when one of its processes is killed.
async fn session_ends(session: &mut sqlx::PgConnection) -> bool {
    sqlx::query("SELECT 1").execute(session).await.is_err()
}
