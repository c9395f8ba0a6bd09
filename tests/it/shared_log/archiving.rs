//! The leader moves old events to an archive while several services write.

use logkey::store;

use super::{assert_intact, newest, until};
use crate::{
    harness::{ALL, GROUP, Plan, Postgres, key},
    process::archiving::fill,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_archives_old_events_while_both_services_write() {
    let (postgres, files) = (Postgres::start().await, tempfile::tempdir().unwrap());
    let config = store::Config { url: postgres.url() };
    fill(&config, &postgres.key_file(), 3000, 300).await;
    let archive = files.path().join("archive");
    let settings = format!("retention = \"1d\"\narchive = \"{}\"\n", archive.display());
    let first = Plan::default().over_with(&postgres, &settings).start().await;
    let second = first.replica().await;
    let open = store::open_reader(&config).await.unwrap();
    let (mut calls, mut at) = (0, 1);
    until("the archiving", async || {
        for service in [&first, &second] {
            service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
            calls += 1;
        }
        at = open.log.after(0, 1).await.unwrap()[0].seq;
        at > 2816
    })
    .await;
    assert_eq!(at, 2817);
    assert!(newest(&*open.log).await > 3300 + calls);
    assert_intact(&first, &postgres).await;
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_process_archives_at_a_time() {
    let postgres = Postgres::start().await;
    let config = store::Config { url: postgres.url() };
    let (first, second) = (store::open(&config).await.unwrap(), store::open(&config).await.unwrap());
    let lock = first.archived.lock_archive().await.unwrap();
    assert!(lock.is_some());
    assert!(second.archived.lock_archive().await.unwrap().is_none());
    drop(lock);
    until("the release of the lock", async || second.archived.lock_archive().await.unwrap().is_some()).await;
}
