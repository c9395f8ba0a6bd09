//! Bulk jobs and rules.

use logkey::sandbox::fault::{Effect, Fault};
use serde_json::Value;

use super::Cli;
use crate::{
    bulk::groups,
    harness::{PAYMENTS, Plan, REGION, key},
};

#[tokio::test]
async fn a_job_is_planned_started_watched_and_reverted() {
    let service = Plan::with_resources(|account| groups(account, "a", 5)).start().await;
    let cli = Cli::of(&service);
    let (aws, good) = (service.sandbox.sandbox(), key("good"));
    let in_aws = |name: &str| aws.log_group_key(PAYMENTS, REGION, name);
    let plan = cli.json(&["bulk", "plan", "--pattern", "/payments/a-*", "--key", &good]).await;
    let plan = &plan["bulkAssociation"];
    assert_eq!((&plan["state"], &plan["counts"]["waiting"]), (&"BULK_STATE_PLANNED".into(), &5.into()));
    assert_eq!(in_aws("/payments/a-000"), None, "a plan changes nothing");
    let (id, etag) = (plan["id"].as_str().unwrap(), plan["etag"].as_str().unwrap());

    assert_eq!(cli.run(&["bulk", "start", id, "--etag", "old"]).await.code, 1);
    let ended = cli.json(&["bulk", "start", id, "--etag", etag, "--watch"]).await;
    assert_eq!(ended["bulkAssociation"]["state"], "BULK_STATE_SUCCEEDED");
    assert_eq!(in_aws("/payments/a-004"), Some(good));
    let items = cli.ok(&["bulk", "items", id, "--state", "succeeded,unchanged", "-o", "csv"]).await;
    assert_eq!(items.lines().count(), 6, "{items}");
    assert!(cli.ok(&["bulk", "watch", id]).await.contains("SUCCEEDED"), "a job that ended is shown at once");
    assert!(cli.ok(&["bulk", "list"]).await.contains(id));

    let reverted = cli.json(&["bulk", "revert", id, "--watch", "--reason", "CHG-3"]).await;
    assert_eq!(reverted["bulkAssociation"]["revertOf"], id);
    assert_eq!(in_aws("/payments/a-004"), None);
    service.stop().await;
}

#[tokio::test]
async fn a_job_shows_its_progress_on_a_terminal_and_nothing_in_a_pipe() {
    let service = Plan::with_resources(|account| groups(account, "a", 5)).start().await;
    let cli = Cli::of(&service);
    let plan = async |change: &[&str]| {
        let plan = [&["bulk", "plan", "--pattern", "/payments/a-*", "-o", "name"], change].concat();
        cli.ok(&plan).await.trim().to_owned()
    };
    let job = plan(&["--key", &key("good")]).await;
    let shown =
        cli.on_terminal(80, &format!("bulk start {job} --wait -o name >job; echo $? >code"), true).await;
    let file = |name: &str| std::fs::read_to_string(cli.home().join(name)).unwrap();
    assert_eq!((file("job").trim(), file("code").trim()), (&*job, "0"), "{shown}");
    assert!(shown.contains("/5 0 failed"), "{shown:?}");

    let job = plan(&["--disassociate"]).await;
    let ended = cli.run(&["bulk", "start", &job, "--wait"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("SUCCEEDED"), "{}", ended.stdout);
    let shown = cli.on_terminal(80, &format!("bulk watch {job} --quiet"), true).await;
    assert_eq!(shown, "", "--quiet shows no progress");
    service.stop().await;
}

#[tokio::test]
async fn watching_a_job_has_the_exit_code_of_its_end() {
    let service = Plan::with_resources(|account| groups(account, "a", 2)).start().await;
    let cli = Cli::of(&service);
    let plan = ["bulk", "plan", "--pattern", "/payments/a-*", "--key", &key("good"), "-o", "name"];
    let job = cli.ok(&plan).await;
    cli.ok(&["bulk", "cancel", job.trim()]).await;
    for command in ["watch", "start"] {
        let ended = cli.run(&["bulk", command, job.trim()]).await;
        assert_eq!(ended.code, 1, "{command} a job that was cancelled: {}{}", ended.stdout, ended.stderr);
    }
    let missing = "01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(cli.run(&["bulk", "watch", missing]).await.code, 4);
    assert_eq!(cli.run(&["bulk", "watch", job.trim(), "--server", "http://127.0.0.1:1"]).await.code, 5);
    let reader = Cli::new(&service, "logkey:read");
    assert_eq!(reader.run(&["bulk", "start", job.trim()]).await.code, 3);
    service.stop().await;
}

#[tokio::test]
async fn a_job_that_pauses_or_fails_is_resumed_and_retried() {
    let service = Plan::with_resources(|account| groups(account, "a", 4)).start().await;
    let cli = Cli::of(&service);
    // Starts a job and follows it. It does not change everything.
    let run = async |options: &[&str]| {
        let plan = ["bulk", "plan", "--pattern", "/payments/a-*", "--start", "-o", "json"];
        let ended = cli.run(&[&plan[..], options].concat()).await;
        assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
        let mut document: Value = serde_json::from_str(&ended.stdout).unwrap();
        document["bulkAssociation"].take()
    };
    let job = run(&["--key", &key("good"), "--canary", "1"]).await;
    assert_eq!(job["pauseReason"], "BULK_PAUSE_REASON_CANARY");
    cli.ok(&["bulk", "resume", job["id"].as_str().unwrap(), "--wait"]).await;

    let message = "User: x is not authorized to perform: logs:AssociateKmsKey with an explicit deny in a service \
                   control policy";
    let effect =
        Effect::Error { code: "AccessDeniedException".into(), message: Some(message.into()), status: None };
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", effect));
    let job = run(&["--key", &key("next")]).await;
    assert_eq!(
        (&job["state"], &job["counts"]["failed"]),
        (&"BULK_STATE_COMPLETED_WITH_FAILURES".into(), &4.into())
    );
    service.sandbox.sandbox().clear_faults();
    cli.ok(&["bulk", "retry", job["id"].as_str().unwrap(), "--wait"]).await;
    let in_aws = service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, "/payments/a-003");
    assert_eq!(in_aws, Some(key("next")));
    service.stop().await;
}

#[tokio::test]
async fn the_output_of_list_is_imported_and_failures_are_explained() {
    let service = Plan::with_resources(|account| groups(account, "a", 3)).start().await;
    let cli = Cli::of(&service);
    let listed = cli.ok(&["list", "--without-key", "--prefix", "/payments/a-", "-o", "csv"]).await;
    std::fs::write(cli.home().join("groups.csv"), listed).unwrap();
    let import = ["bulk", "import", "groups.csv", "--key", &key("closed"), "--start"];
    let ended = cli.run(&import).await;
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    let job = cli.ok(&["bulk", "list", "-o", "name"]).await;
    let items = cli.ok(&["bulk", "items", job.trim()]).await;
    assert!(items.contains("BLOCKED") && items.contains("\"Effect\""), "the statement to add: {items}");
    std::fs::write(cli.home().join("bad.csv"), "arn\n/payments/a-000\n").unwrap();
    let bad = cli.run(&["bulk", "import", "bad.csv", "--key", &key("good")]).await;
    assert_eq!(bad.code, 2, "{}", bad.stderr);
    assert!(bad.stderr.contains("line 2"), "{}", bad.stderr);
    let none = cli.run(&["bulk", "plan", "--pattern", "/payments/a-*"]).await;
    assert_eq!(none.code, 2, "{}", none.stderr);
    service.stop().await;
}

#[tokio::test]
async fn a_rule_is_created_changed_evaluated_and_deleted() {
    let service = Plan::with_resources(|account| groups(account, "a", 2)).start().await;
    let cli = Cli::of(&service);
    let good = key("good");
    let created =
        cli.json(&["rule", "create", "--name", "all", "--pattern", "/payments/a-*", "--key", &good]).await;
    let rule = &created["encryptionRule"];
    assert_eq!((&rule["mode"], &rule["displayName"]), (&"RULE_MODE_REPORT".into(), &"all".into()));
    let id = rule["id"].as_str().unwrap();
    assert_eq!(cli.run(&["rule", "update", id]).await.code, 2, "there is nothing to change");
    let changed = cli.json(&["rule", "update", id, "--mode", "enforce", "--max-changes", "7"]).await;
    let rule = &changed["encryptionRule"];
    assert_eq!((&rule["mode"], &rule["maxChanges"]), (&"RULE_MODE_ENFORCE".into(), &7.into()));
    assert_eq!(rule["selection"]["logGroupPatterns"], serde_json::json!(["/payments/a-*"]), "it is left");
    assert!(cli.ok(&["rule", "show", id]).await.contains("ENFORCE"));
    cli.json(&["rule", "evaluate", id]).await;
    assert!(cli.ok(&["rule", "list"]).await.contains(id));
    assert_eq!(cli.ok(&["rule", "delete", id, "-o", "name"]).await, format!("{id}\n"));
    assert_eq!(cli.run(&["rule", "show", id]).await.code, 4);
    service.stop().await;
}
