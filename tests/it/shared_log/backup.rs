//! A PostgreSQL store is backed up with PostgreSQL's own tools, and a log without its key is restarted.

use logkey::audit::checkpoint::SigningKey;

use super::{Replica, assert_intact};
use crate::{
    harness::{ALL, GROUP, Plan, Postgres, Service, key},
    process::logkey,
};

/// Runs a command with the service's settings on another database, and returns its exit code and output.
async fn on(url: &str, service: &Service, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = logkey(arguments);
    command.arg("--config").arg(service.settings()).env("LOGKEY__STORE__URL", url);
    let result = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (result.status.code(), String::from_utf8_lossy(&[result.stdout, result.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_with_the_key_is_restored_and_continues() {
    let postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    assert_intact(&service, &postgres).await;
    let dump = postgres.dump();
    service.caller("payments", ALL).associate(GROUP, &key("next")).await.unwrap();
    assert_intact(&service, &postgres).await;
    let kept = tempfile::NamedTempFile::new().unwrap();
    let store = logkey::store::Config { url: postgres.url() };
    let open = logkey::store::open_reader(&store).await.unwrap();
    std::fs::write(kept.path(), open.tree.checkpoint().await.unwrap().unwrap().note).unwrap();

    let url = postgres.restore("restored", &dump).await;
    let (code, output) = on(&url, &service, &["audit", "verify"]).await;
    assert!(code == Some(0) && output.starts_with("intact: "), "{output}");
    let kept = kept.path().to_str().unwrap();
    let (code, output) = on(&url, &service, &["audit", "verify", "--checkpoint", kept]).await;
    assert!(code == Some(1) && output.contains("the log was rolled back"), "{output}");
    let replica = Replica::spawn_on(&service, &url).await;
    replica.stop();
    let (code, output) = on(&url, &service, &["audit", "verify"]).await;
    assert!(code == Some(0) && output.starts_with("intact: "), "{output}");
    let (code, output) = on(&url, &service, &["audit", "list", "--action", "Stop"]).await;
    assert!(code == Some(0) && output.contains("Stop"), "the restored log continues: {output}");

    for arguments in [&["backup", "--out", "nowhere"][..], &["restore", "--from", "nowhere"]] {
        let (code, output) = on(&url, &service, arguments).await;
        assert!(code == Some(1) && output.contains("pg_dump"), "{output}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_log_whose_key_is_lost_restarts_while_no_service_runs() {
    let postgres = Postgres::start().await;
    let service = Plan::default().over(&postgres).start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    assert_intact(&service, &postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let former = folder.path().join("former");
    let restart = ["audit", "restart", "--lost-key", "--out", former.to_str().unwrap()];
    let (code, output) = on(&postgres.url(), &service, &restart).await;
    assert!(code == Some(1) && output.contains("stop every replica first"), "{output}");

    let url = postgres.restore("restored", &postgres.dump()).await;
    let (code, output) = on(&url, &service, &restart).await;
    assert!(code == Some(1) && output.contains("so it is not lost"), "{output}");
    let open = logkey::store::open_reader(&logkey::store::Config { url: url.clone() }).await.unwrap();
    let old = open.tree.checkpoint().await.unwrap().unwrap();
    SigningKey::open_or_create(&folder.path().join("new.pem"), "logkey").unwrap();
    std::fs::copy(folder.path().join("new.pem"), postgres.key_file()).unwrap();
    let (code, output) = on(&url, &service, &restart).await;
    assert!(code == Some(0) && output.contains("a new log begins"), "{output}");
    assert_eq!(std::fs::read_to_string(former.join("checkpoint")).unwrap(), old.note);
    let (code, output) = on(&url, &service, &["audit", "verify"]).await;
    assert!(
        code == Some(0)
            && output.contains("intact: 1 event; a signed checkpoint covers 1 of them")
            && output.contains("the log was restarted"),
        "{output}"
    );
    let root = old.note.lines().nth(2).unwrap();
    let (_, output) = on(&url, &service, &["audit", "list", "--json"]).await;
    assert!(output.contains(&format!("\"old_size\":{},\"old_root\":\"{root}\"", old.size)), "{output}");
    let replica = Replica::spawn_on(&service, &url).await;
    replica.stop();
    let (code, output) = on(&url, &service, &["audit", "verify"]).await;
    assert!(code == Some(0) && output.contains("intact: 3 events"), "{output}");
}
