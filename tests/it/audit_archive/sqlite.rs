//! What archiving does to the file of a SQLite store, and to the service that writes to it.

use sqlx::{
    ConnectOptions as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use super::*;

const FREE_PAGES: &str = "SELECT freelist_count FROM pragma_freelist_count";
const ALL_PAGES: &str = "SELECT page_count FROM pragma_page_count";

#[tokio::test(flavor = "multi_thread")]
async fn commits_go_on_while_archived_events_are_removed() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    for _ in 0..5 {
        log.grow(4000).await;
    }
    let open = Arc::new(log.start().await.unwrap());
    let archiving = tokio::spawn({
        let (open, before, folder) = (Arc::clone(&open), log.clock.now(), out.path().to_owned());
        async move { open.archive(before, &folder).await.unwrap() }
    });
    let mut commits_between = 0;
    while !archiving.is_finished() {
        open.grow(1).await;
        let first = open.store.log.after(0, 1).await.unwrap()[0].seq;
        commits_between += u32::from((2..=19_968).contains(&first));
    }
    assert_eq!(archiving.await.unwrap().last, 19_968);
    assert!(commits_between > 2, "{commits_between} commits between the steps of the removal");
    Arc::into_inner(open).unwrap().close().await;
    assert_eq!(log.check(Some(out.path())).await.findings, []);
}

#[tokio::test]
async fn a_file_of_an_earlier_release_uses_its_free_pages_and_its_copy_shrinks() {
    let (log, out) = (Log::new(), tempfile::tempdir().unwrap());
    let path = log.dir.path().join("logkey.db");
    // The earlier release began a write-ahead log first.
    let earlier = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    earlier.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap().close().await.unwrap();
    log.grow(6000).await;
    log.archive(log.clock.now(), out.path()).await.unwrap();
    let open = log.start().await.unwrap();
    open.store.archived.shrink().await.unwrap();
    open.close().await;
    let (free_pages, all_pages) = (log.value(FREE_PAGES).await, log.value(ALL_PAGES).await);
    assert!(free_pages > all_pages / 2, "{free_pages} of {all_pages}");
    log.grow(600).await;
    assert!(log.value(FREE_PAGES).await < free_pages);
    assert_eq!(log.value(ALL_PAGES).await, all_pages);

    let copy = Log { dir: tempfile::tempdir().unwrap(), clock: log.clock.clone() };
    let copy_path = copy.dir.path().join("logkey.db");
    std::fs::write(&copy_path, "").unwrap();
    store::copy(&log.config(), &copy_path).await.unwrap();
    std::fs::copy(log.key_file(), copy.key_file()).unwrap();
    assert!(copy.value(ALL_PAGES).await < all_pages / 2);
    copy.grow(6000).await;
    let grown = copy.value(ALL_PAGES).await;
    let open = copy.start().await.unwrap();
    open.archive(copy.clock.now(), out.path()).await.unwrap();
    open.store.archived.shrink().await.unwrap();
    open.close().await;
    assert_eq!(copy.value(FREE_PAGES).await, 0);
    assert!(copy.value(ALL_PAGES).await < grown / 2);
}
