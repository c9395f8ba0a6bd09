//! Services that share a log.

use std::collections::BTreeSet;

use logkey::{
    audit::parsed_event::ParsedEvent,
    ports::EventFilter,
    sandbox::fault::{Effect, Fault},
    store,
};
use tonic::transport::Endpoint;

use super::{Replica, assert_intact, leader, make_second_leader, newest, run, until};
use crate::harness::{ALL, Caller, GROUP, PAYMENTS, Plan, Postgres, REGION, key};

#[tokio::test(flavor = "multi_thread")]
async fn two_services_write_one_log_that_every_subcommand_reads() {
    let (postgres, files) = (Postgres::start().await, tempfile::tempdir().unwrap());
    let sink = files.path().join("sink.jsonl");
    let sinks = format!("[[audit.sinks]]\ntype = \"file\"\npath = \"{}\"\n", sink.display());
    let first = Plan::default().over_with(&postgres, &sinks).start().await;
    let second = first.replica().await;
    let mut changed = BTreeSet::new();
    for n in 0..6 {
        let (service, key) = if n % 2 == 0 { (&first, key("good")) } else { (&second, key("next")) };
        let answer = service.caller("payments", ALL).associate(GROUP, &key).await.unwrap();
        changed.insert(answer.audit_event_id);
    }
    assert_intact(&first, &postgres).await;
    let events = first.events().await;
    assert_eq!(events.iter().filter(|event| event.action == "Start").count(), 2);
    let outcomes: BTreeSet<String> =
        events.iter().filter(|event| event.kind == "outcome").map(|event| event.id.clone()).collect();
    assert_eq!(outcomes, changed, "the calls of both services are in the log exactly once");
    let same = second.events().await;
    assert_eq!(
        same.iter().map(|event| &event.id).collect::<Vec<_>>(),
        events.iter().map(|event| &event.id).collect::<Vec<_>>()
    );

    let id = changed.first().unwrap();
    assert!(run(&first, &["audit", "list"]).await.contains("AssociateKmsKey"));
    assert!(run(&first, &["audit", "show", id]).await.contains(id));
    assert!(run(&first, &["audit", "prove", id]).await.contains("logkey"));
    let out = files.path().join("export").display().to_string();
    run(&first, &["audit", "export", "--out", &out]).await;
    let kept_checkpoint = format!("{out}/checkpoint");
    second.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    assert!(run(&first, &["audit", "verify", "--checkpoint", &kept_checkpoint]).await.contains("intact: "));

    // Only one replica feeds the sink: it has each event once, in order.
    let open = store::open_reader(&store::Config { url: postgres.url() }).await.unwrap();
    let bodies = async || {
        let all = open.log.after(0, 1_000).await.unwrap();
        all.into_iter().map(|event| event.body).collect::<Vec<_>>()
    };
    let delivered = || {
        let text = std::fs::read_to_string(&sink).unwrap_or_default();
        text.lines().filter(|line| line.contains("class_uid")).map(str::to_owned).collect::<Vec<_>>()
    };
    until("the sink", async || delivered().len() >= bodies().await.len()).await;
    assert_eq!(delivered(), bodies().await);

    // Old events can be archived while both run.
    for _ in 0..130 {
        first.caller("payments", ALL).get(GROUP).await.unwrap();
        second.caller("payments", ALL).get(GROUP).await.unwrap();
    }
    until("the last reads", async || newest(&*open.log).await > 270).await;
    assert_intact(&first, &postgres).await;
    until("the sink's position", async || {
        let mut session = postgres.session("logkey").await;
        let at = sqlx::query_scalar("SELECT event FROM sink").fetch_one(&mut session).await;
        at.unwrap_or(0_i64) > 270
    })
    .await;
    let archive = files.path().join("archive").display().to_string();
    let output = run(&first, &["audit", "archive", "--older-than", "1ms", "--out", &archive]).await;
    assert!(output.starts_with("256 events moved out"), "{output}");
    assert!(run(&first, &["audit", "verify", "--archive", &archive]).await.contains("intact: "));
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_another_replica_takes_over() {
    let postgres = Postgres::start().await;
    let first = Plan::default().over(&postgres).start().await;
    assert_eq!(leader(&postgres).await.unwrap().0, "logkey");
    let second = Replica::spawn(&first, &postgres).await;
    assert_eq!(leader(&postgres).await.unwrap().0, "logkey", "only one replica leads");
    make_second_leader(&postgres).await;
    first.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    assert_intact(&first, &postgres).await;
    second.kill();
    first.caller("payments", ALL).associate(GROUP, &key("next")).await.unwrap();
    assert_intact(&first, &postgres).await;
    assert_eq!(leader(&postgres).await.unwrap().0, "logkey");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_intent_of_a_killed_replica_is_reconciled_once_by_another() {
    let postgres = Postgres::start().await;
    let first =
        Plan::default().settings("[server]\nrequest_timeout = \"2s\"\n").over(&postgres).start().await;
    let second = Replica::spawn(&first, &postgres).await;
    // AWS makes the change, but its response does not arrive before the process is killed.
    first.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", Effect::Hang).after().times(1));
    let channel = Endpoint::from_shared(format!("http://{}", second.grpc)).unwrap().connect().await.unwrap();
    let caller = Caller::new(channel, &first.issuer.token("payments", ALL));
    let lost = tokio::spawn(async move { caller.associate(GROUP, &key("good")).await });
    until("the call to AWS", async || first.reached("AssociateKmsKey").len() == 1).await;
    second.kill();
    assert!(lost.await.unwrap().is_err());
    assert_eq!(first.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));

    let reconciled = async || {
        let events = first.events().await;
        events.into_iter().filter(|event| event.kind == "settled").collect::<Vec<ParsedEvent>>()
    };
    let other = "/payments/hash#1";
    until("the reconciliation", async || {
        first.caller("payments", ALL).associate(other, &key("next")).await.unwrap();
        !reconciled().await.is_empty()
    })
    .await;
    let found = reconciled().await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].resource.as_ref().unwrap().contains(GROUP), "{found:#?}");
    let store = store::open_reader(&store::Config { url: postgres.url() }).await.unwrap();
    let all = store.log.list(&EventFilter::default(), None, 10_000).await.unwrap();
    let views: Vec<ParsedEvent> = all.iter().map(|event| ParsedEvent::try_from(event).unwrap()).collect();
    let intent = found[0].closes.clone();
    assert_eq!(
        views.iter().filter(|view| view.closes == intent).count(),
        1,
        "nothing else closes the intent"
    );
    assert_intact(&first, &postgres).await;
    first.stop().await;
}
