use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::*;
use crate::{domain::time::Timestamp, store::sqlite::Sqlite};

#[tokio::test]
async fn no_filter_scans_or_sorts_all_events() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/logkey.db", dir.path().display());
    drop(Sqlite::open(&url, &crate::ports::upgrade::UpgradeProgress::default()).await.unwrap());
    let mut file = SqliteConnection::connect(&url).await.unwrap();
    let none = EventFilter::default();
    let tenant = EventFilter { tenant: Some("payments".parse().unwrap()), ..none.clone() };
    let call = EventFilter { correlation: Some("call".into()), ..none.clone() };
    let time = Some(Timestamp::from_secs(1));
    for filter in [none, tenant, call] {
        let within = EventFilter { since: time, until: time, after: Some(7), ..filter.clone() };
        for filter in [filter, within] {
            for newest_first in [true, false] {
                let query = candidates(&filter, Range { after: 7, through: 9, newest_first }, 10);
                let sql = format!("EXPLAIN QUERY PLAN {}", query.sql().as_str());
                for row in sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut file).await.unwrap() {
                    let step: String = row.get("detail");
                    assert!(!["SCAN event", "SCAN of"].contains(&&*step), "{step} for {filter:?}");
                    assert!(!step.contains("TEMP B-TREE"), "{step} for {filter:?}");
                }
            }
        }
    }
}
