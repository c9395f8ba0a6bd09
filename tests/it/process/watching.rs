//! Settings and certificates that change while the service runs: it notices by itself, or after SIGHUP.

use super::*;
use crate::{
    bound_tokens::Authority,
    harness::{ALL, AccountText, Caller, PAYMENTS, REGION, reason},
};

#[tokio::test]
async fn a_changed_file_is_reloaded_without_a_signal() {
    let process = Process::serve().await;
    let good = std::fs::read_to_string(&process.config).unwrap();
    std::fs::write(&process.config, good + "# the same, with a comment\n").unwrap();
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 1").await;
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

#[tokio::test]
async fn a_new_tenant_file_and_a_changed_secret_file_are_reloaded() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("payments.external-id");
    std::fs::write(&secret, "first").unwrap();
    let tenants = folder.path().join("tenants.d");
    std::fs::create_dir(&tenants).unwrap();
    let account = AccountText { tenant: "payments", account: PAYMENTS, region: REGION, kms_keys: "*" };
    let below = SettingsText::default()
        .tenant("payments", "")
        .account_with(&account, "external_id_file = \"payments.external-id\"\n", "")
        .to_string();
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
async fn sighup_reloads_settings_and_invalid_ones_are_reported() {
    let process = Process::serve().await;
    let good = std::fs::read_to_string(&process.config).unwrap();
    std::fs::write(&process.config, good + "[[tenants]]\nid = \"Not An Id\"\n").unwrap();
    process.signal("-HUP");
    // The file is watched too, so the settings can be refused more than once.
    let none = "logkey_reloads_total{outcome=\"refused\"} 0";
    process.until_metrics("a refused reload", |metrics| !metrics.contains(none)).await;
    process.signal("-TERM");
    let (code, output) = process.end();
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("not reloaded"), "{output}");
}

#[tokio::test]
async fn a_replaced_configmap_link_is_noticed() {
    // The layout of a mounted ConfigMap: the file is a link into ..data, which is a link that is replaced.
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
    process.until_metric("logkey_reloads_total{outcome=\"taken\"} 1").await;
    let refused = caller.who_am_i().await.unwrap_err();
    assert_eq!(&*reason(&refused), "TENANT_SUSPENDED");
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

/// The settings of the tenant `payments`, for a separate file.
fn payments(suspended: bool) -> String {
    format!("id = \"payments\"\nissuers = [\"{ISSUER}\"]\nsuspended = {suspended}\n")
}

#[tokio::test]
async fn a_tenant_suspended_by_a_file_is_refused_after_the_reload() {
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

/// Waits until the tenant of the caller is suspended, or no longer.
async fn until_suspended(caller: &Caller, suspended: bool, how: &str) {
    for _ in 0..100 {
        let refused = caller.who_am_i().await.err().map(|status| reason(&status));
        if refused.is_some_and(|reason| &*reason == "TENANT_SUSPENDED") == suspended {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{how}: not seen within ten seconds");
}

#[tokio::test]
async fn a_suspension_is_seen_however_its_file_came_to_be() {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (tenants, file): (PathBuf, PathBuf) = (path("tenants.d"), path("tenants.d/payments.toml"));
    fs::create_dir(&tenants).unwrap();
    fs::write(&file, payments(false)).unwrap();
    let write = |name: &str, suspended: bool| fs::write(path(name), payments(suspended)).unwrap();
    let new_folder = |name: &str, suspended: bool| {
        drop(fs::remove_dir_all(path(name)));
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("payments.toml"), payments(suspended)).unwrap();
    };
    let replace_link = |target: &str, link: &str| {
        symlink(target, path("link.new")).unwrap();
        fs::rename(path("link.new"), path(link)).unwrap();
    };
    let ways: [(&str, &dyn Fn(bool)); 9] = [
        ("written in place", &|suspended| write("tenants.d/payments.toml", suspended)),
        ("renamed into place", &|suspended| {
            write("outside.toml", suspended);
            fs::rename(path("outside.toml"), &file).unwrap();
        }),
        ("removed and linked", &|suspended| {
            write("outside.toml", suspended);
            fs::remove_file(&file).unwrap();
            fs::hard_link(path("outside.toml"), &file).unwrap();
        }),
        ("written through another hard link", &|suspended| write("outside.toml", suspended)),
        ("folder replaced", &|suspended| {
            new_folder("next", suspended);
            drop(fs::remove_dir_all(path("gone")));
            fs::rename(&tenants, path("gone")).unwrap();
            fs::rename(path("next"), &tenants).unwrap();
        }),
        ("written after the folder was replaced", &|suspended| write("tenants.d/payments.toml", suspended)),
        ("folder replaced by a link", &|suspended| {
            new_folder("one", suspended);
            fs::remove_dir_all(&tenants).unwrap();
            symlink("one", &tenants).unwrap();
        }),
        ("link to the folder replaced", &|suspended| {
            new_folder("two", suspended);
            replace_link("two", "tenants.d");
        }),
        ("written behind a link to a file", &|suspended| {
            write("outside.toml", suspended);
            if !file.is_symlink() {
                fs::remove_file(&file).unwrap();
                symlink("../outside.toml", &file).unwrap();
            }
        }),
    ];
    let above = format!("tenants_dir = \"{}\"\n", tenants.display());
    // Nobody reads the log before the end, and a full pipe would stop the service.
    let quiet = SettingsText::default().table("telemetry", "log_level = \"error\"\n").to_string();
    let process = Process::serve_in(tempfile::tempdir().unwrap(), &above, &quiet).await;
    let caller = Caller::new(process.channel(), &process.issuer.token("payments", ALL));
    until_suspended(&caller, false, "at the start").await;
    for (how, change) in ways {
        for suspended in [true, false] {
            change(suspended);
            until_suspended(&caller, suspended, how).await;
        }
    }
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}

#[tokio::test]
async fn sighup_applies_a_change_in_a_file_that_is_not_watched() {
    // The file is behind a link, so the watched folder does not change.
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
async fn changed_certificates_are_reloaded_and_removed_authorities_end_connections() {
    let (before, after, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let tls = before.settings(folder.path(), "required");
    let tenant = SettingsText::default().tenant("payments", "").to_string();
    let process = Process::serve_in(folder, "", &(tls + &tenant)).await;
    let token = process.issuer.token("payments", ALL);
    let (old, new) = (before.client("old.test"), after.client("new.test"));
    // This client trusts only the old authority. When it has to reconnect, each side rejects the other.
    let existing = Caller::new(before.channel_to(process.grpc, Some(&old)), &token);
    existing.who_am_i().await.unwrap();

    after.settings(process.folder(), "required");
    let mut arrived = false;
    for _ in 0..MAX_POLLS {
        arrived = Caller::new(after.channel_to(process.grpc, Some(&new)), &token).who_am_i().await.is_ok();
        if arrived {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(arrived, "timed out waiting for the new certificate");
    existing.who_am_i().await.unwrap_err();
    Caller::new(before.channel_to(process.grpc, Some(&old)), &token).who_am_i().await.unwrap_err();
    Caller::new(after.channel_to(process.grpc, Some(&old)), &token).who_am_i().await.unwrap_err();
    process.signal("-TERM");
    assert_eq!(process.end().0, Some(0));
}
