//! A server that goes, hangs and comes back.

use std::{collections::BTreeSet, process::Command};

use sqlx::Row as _;

use super::{ready, until, whole};
use crate::harness::{ALL, GROUP, Plan, Postgres, Service, key, reason};

/// Whether the first one's intent was kept is not known yet: until then, its log group is its own.
const OTHER: &str = "/payments/hash#1";

async fn refused(service: &Service, group: &str) {
    let error = service.caller("payments", ALL).associate(group, &key("next")).await.unwrap_err();
    assert_eq!(reason(&error), "AUDIT_UNAVAILABLE", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_gone_or_hangs_nothing_is_sent_and_both_ends_resume_by_themselves() {
    let mut postgres = Postgres::start().await;
    let plan = Plan::default().settings("[server]\nrequest_timeout = \"4s\"\n");
    let service = plan.over(&postgres).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let sent = || service.reached("AssociateKmsKey").len();
    assert_eq!(sent(), 1);

    postgres.crash();
    refused(&service, GROUP).await;
    until("unreadiness", async || ready(service.admin).await == 503).await;
    refused(&service, OTHER).await;
    assert_eq!(sent(), 1, "it was sent without a record");
    postgres.up().await;
    until("readiness", async || ready(service.admin).await == 200).await;
    caller.associate(GROUP, &key("next")).await.unwrap();
    assert_eq!(sent(), 2);

    postgres.hang();
    // The service answers, before its own limit of a call.
    refused(&service, GROUP).await;
    until("unreadiness", async || ready(service.admin).await == 503).await;
    refused(&service, OTHER).await;
    assert_eq!(sent(), 2, "it was sent without a record");
    postgres.go_on();
    until("readiness", async || ready(service.admin).await == 200).await;
    caller.associate(GROUP, &key("good")).await.unwrap();
    assert_eq!(sent(), 3);
    whole(&service, &postgres).await;
    each_has_its_end(&service, 3).await;
    service.stop().await;
}

/// As many changes were made as are in the log, and no intent has two ends.
async fn each_has_its_end(service: &Service, changed: usize) {
    let events = service.events().await;
    let closes: Vec<&String> =
        events.iter().filter(|event| event.kind == "outcome").filter_map(|it| it.closes.as_ref()).collect();
    let once: BTreeSet<&String> = closes.iter().copied().collect();
    assert_eq!(closes.len(), once.len(), "two outcomes of one intent");
    let intents: BTreeSet<&String> =
        events.iter().filter(|event| event.kind == "intent").map(|event| &event.id).collect();
    assert!(once.is_subset(&intents), "an outcome without its intent");
    let of = |end: &str| {
        events.iter().filter(|it| it.kind == "outcome" && it.outcome.as_deref() == Some(end)).count()
    };
    assert_eq!(
        of("OK"),
        changed,
        "{:#?}",
        events.iter().map(|it| (&it.kind, &it.outcome)).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_process_killed_in_mid_commit_loses_nothing_and_doubles_nothing() {
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
                    // While the server comes back.
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
        until("readiness", async || ready(service.admin).await == 503 || session_ends(&mut session).await)
            .await;
        until("readiness", async || ready(service.admin).await == 200).await;
    }
    load.join_all().await;
    whole(&service, &postgres).await;
    each_has_its_end(&service, service.reached("AssociateKmsKey").len()).await;
    service.stop().await;
}

/// The whole server begins anew when one of its processes is killed, this session with it.
async fn session_ends(session: &mut sqlx::PgConnection) -> bool {
    sqlx::query("SELECT 1").execute(session).await.is_err()
}
