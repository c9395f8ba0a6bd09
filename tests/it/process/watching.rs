//! Settings and certificates that change under a running service: seen by itself, or after SIGHUP.

use super::*;
use crate::{
    bound_tokens::Authority,
    harness::{ALL, Caller, reason},
};

#[tokio::test]
async fn a_changed_file_is_taken_over_without_being_asked() {
    let process = Process::serve().await;
    let good = std::fs::read_to_string(&process.config).unwrap();
    std::fs::write(&process.config, good + "# the same, with a comment\n").unwrap();
    process.until_metric("logkey_reloads_total{outcome=\"taken\"}").await;
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

#[tokio::test]
async fn a_new_tenant_in_an_empty_folder_and_a_changed_secret_are_taken_over_too() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("payments.external-id");
    std::fs::write(&secret, "first").unwrap();
    let tenants = folder.path().join("tenants.d");
    std::fs::create_dir(&tenants).unwrap();
    let below = format!(
        "[[tenants]]\nid = \"payments\"\nissuers = [\"{ISSUER}\"]\n[[tenants.accounts]]\naccount_id = \"111122223333\"\nrole_arn = \"arn:aws:iam::111122223333:role/R\"\nexternal_id_file = \"payments.external-id\"\nregions = [\"eu-west-1\"]\nlog_groups = [\"*\"]\nkms_keys = [\"*\"]\n"
    );
    let process = Process::serve_in(folder, "tenants_dir = \"tenants.d\"\n", &below).await;
    std::fs::write(tenants.join("orders.toml"), format!("id = \"orders\"\nissuers = [\"{ISSUER}\"]\n"))
        .unwrap();
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 1").await;
    std::fs::write(&secret, "second").unwrap();
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 2").await;
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

#[tokio::test]
async fn a_hangup_takes_the_settings_over_and_a_faulty_set_is_told() {
    let process = Process::serve().await;
    let good = std::fs::read_to_string(&process.config).unwrap();
    std::fs::write(&process.config, good + "[[tenants]]\nid = \"Not An Id\"\n").unwrap();
    process.signal("-HUP");
    process.until_metric("logkey_reloads_total{outcome=\"refused\"}").await;
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("not taken over"), "{output}");
}

#[tokio::test]
async fn kubernetes_turning_a_link_is_a_change_too() {
    // As a mounted ConfigMap looks: the file is a link into ..data, which is a link that is exchanged.
    let folder = tempfile::tempdir().unwrap();
    let tenants = folder.path().join("tenants.d");
    let version = |name: &str, suspended: bool| {
        let data = tenants.join(name);
        std::fs::create_dir_all(&data).unwrap();
        let tenant = format!("id = \"payments\"\nissuers = [\"{ISSUER}\"]\nsuspended = {suspended}\n");
        std::fs::write(data.join("payments.toml"), tenant).unwrap();
    };
    version("..first", false);
    std::os::unix::fs::symlink("..first", tenants.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/payments.toml", tenants.join("payments.toml")).unwrap();
    let above = format!("tenants_dir = \"{}\"\n", tenants.display());
    let process = Process::serve_in(folder, &above, "").await;
    let caller = Caller::new(process.channel(), &process.issuer.token("payments", ALL));
    caller.who_am_i().await.unwrap();
    version("..second", true);
    std::os::unix::fs::symlink("..second", tenants.join("..data_tmp")).unwrap();
    std::fs::rename(tenants.join("..data_tmp"), tenants.join("..data")).unwrap();
    process.until_metric("logkey_reloads_total{outcome=\"taken\"}").await;
    let refused = caller.who_am_i().await.unwrap_err();
    assert_eq!(&*reason(&refused), "TENANT_SUSPENDED");
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

/// The tenant `payments`, in a file of its own.
fn payments(suspended: bool) -> String {
    format!("id = \"payments\"\nissuers = [\"{ISSUER}\"]\nsuspended = {suspended}\n")
}

#[tokio::test]
async fn a_tenant_that_a_file_suspends_is_refused_by_the_first_call_after_the_reload() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenants.d/payments.toml");
    std::fs::create_dir(folder.path().join("tenants.d")).unwrap();
    std::fs::write(&file, payments(false)).unwrap();
    let process = Process::serve_in(folder, "tenants_dir = \"tenants.d\"\n", "").await;
    let caller = Caller::new(process.channel(), &process.issuer.token("payments", ALL));
    caller.who_am_i().await.unwrap();
    for (nth, suspended) in [(1, true), (2, false)] {
        std::fs::write(&file, payments(suspended)).unwrap();
        process.until_metric(&format!("logkey_reloads_total{{outcome=\"taken\"}} {nth}")).await;
        match caller.who_am_i().await {
            Ok(_) => assert!(!suspended),
            Err(status) => assert_eq!((suspended, &*reason(&status)), (true, "TENANT_SUSPENDED")),
        }
    }
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

#[tokio::test]
async fn a_hangup_has_a_tenant_suspended_where_files_are_not_watched() {
    // By its path through a link that nobody watches: the folder of the link does not change.
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = other.path().join("payments.toml");
    std::fs::create_dir(folder.path().join("tenants.d")).unwrap();
    std::fs::write(&file, payments(false)).unwrap();
    std::os::unix::fs::symlink(&file, folder.path().join("tenants.d/payments.toml")).unwrap();
    let process = Process::serve_in(folder, "tenants_dir = \"tenants.d\"\n", "").await;
    let caller = Caller::new(process.channel(), &process.issuer.token("payments", ALL));
    caller.who_am_i().await.unwrap();
    std::fs::write(&file, payments(true)).unwrap();
    process.signal("-HUP");
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 1").await;
    assert_eq!(reason(&caller.who_am_i().await.unwrap_err()), "TENANT_SUSPENDED");
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

#[tokio::test]
async fn certificates_that_change_in_their_files_are_taken_without_being_asked_and_connections_stand() {
    let (before, after, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let tls = before.settings(folder.path(), "required");
    let tenant = format!("[[tenants]]\nid = \"payments\"\nissuers = [\"{ISSUER}\"]\n");
    let process = Process::serve_in(folder, "", &(tls + &tenant)).await;
    let token = process.issuer.token("payments", ALL);
    let (old, new) = (before.client("old.test"), after.client("new.test"));
    // This one trusts the old authority alone: were it to connect anew, neither side would take the other.
    let standing = Caller::new(before.channel_to(process.grpc, Some(&old)), &token);
    standing.who_am_i().await.unwrap();

    after.settings(process.folder(), "required");
    let mut arrived = false;
    for _ in 0..LOOKS {
        arrived = Caller::new(after.channel_to(process.grpc, Some(&new)), &token).who_am_i().await.is_ok();
        if arrived {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(arrived, "the new certificate does not come");
    standing.who_am_i().await.unwrap();
    Caller::new(before.channel_to(process.grpc, Some(&old)), &token).who_am_i().await.unwrap_err();
    Caller::new(after.channel_to(process.grpc, Some(&old)), &token).who_am_i().await.unwrap_err();
    standing.who_am_i().await.unwrap();
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}
