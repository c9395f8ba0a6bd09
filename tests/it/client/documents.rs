//! Each JSON document is as docs/cli.md says, and YAML and CSV say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Cli, schema};
use crate::{
    bulk::groups,
    harness::{GROUP, Plan, key},
};

#[tokio::test]
async fn each_document_conforms_to_its_schema() {
    let service = Plan::with_resources(|account| groups(account, "a", 2)).start().await;
    let cli = Cli::of(&service);
    let good = key("good");
    let documented = schema::documented();
    let mut checked = BTreeSet::new();
    let mut check = |command: &str, document: &Value| {
        schema::check(document, documented.get(command).unwrap_or_else(|| panic!("{command}")));
        checked.insert(command.to_owned());
    };
    cli.ok(&["context", "set", "here", "--server", "https://logkey.test"]).await;
    for (command, arguments) in [
        ("whoami", &["whoami"][..]),
        ("associate", &["associate", GROUP, "--key", &good]),
        ("get", &["get", GROUP]),
        ("list", &["list"]),
        ("check-key", &["check-key", GROUP, "--key", &good]),
        ("usage", &["usage", &good]),
        ("disassociate", &["disassociate", GROUP]),
        ("events list", &["events", "list"]),
        ("report", &["report"]),
        ("context list", &["context", "list"]),
        ("context show", &["context", "show", "here"]),
    ] {
        check(command, &cli.json(arguments).await);
    }
    let access = cli.run(&["access", "-o", "json"]).await.stdout;
    check("access", &serde_json::from_str(&access).unwrap());
    let events = cli.json(&["events", "list"]).await;
    let id = events["events"][0]["id"].as_str().unwrap();
    check("events show", &cli.json(&["events", "show", id]).await);
    check("events follow", &cli.json(&["events", "follow", "--after", "0", "--limit", "1"]).await);

    let plan = cli.json(&["bulk", "plan", "--pattern", "/payments/a-*", "--key", &good]).await;
    check("bulk plan", &plan);
    let job = plan["bulkAssociation"]["id"].as_str().unwrap();
    check("bulk start", &cli.json(&["bulk", "start", job, "--watch"]).await);
    for command in ["show", "watch", "items"] {
        check(&format!("bulk {command}"), &cli.json(&["bulk", command, job]).await);
    }
    check("bulk list", &cli.json(&["bulk", "list"]).await);
    check("bulk revert", &cli.json(&["bulk", "revert", job]).await);

    let rule = cli.json(&["rule", "create", "--pattern", "/payments/a-*", "--key", &good]).await;
    check("rule create", &rule);
    let id = rule["encryptionRule"]["id"].as_str().unwrap();
    check("rule update", &cli.json(&["rule", "update", id, "--name", "n"]).await);
    for command in ["show", "evaluate"] {
        check(&format!("rule {command}"), &cli.json(&["rule", command, id]).await);
    }
    check("rule list", &cli.json(&["rule", "list"]).await);
    check("rule delete", &cli.json(&["rule", "delete", id]).await);

    // These need a job in a certain state, and print what `bulk show` prints.
    let same = ["bulk import", "bulk pause", "bulk resume", "bulk cancel", "bulk retry"];
    checked.extend(same.map(str::to_owned));
    assert_eq!(checked, documented.into_keys().collect());
    service.stop().await;
}

#[tokio::test]
async fn yaml_and_csv_say_what_json_says() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let json = cli.json(&["list"]).await;
    let names: Vec<&str> = json["associations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["resourceArn"].as_str().unwrap())
        .collect();
    let yaml = cli.ok(&["list", "-o", "yaml"]).await;
    let csv = cli.ok(&["list", "-o", "csv"]).await;
    let printed = cli.ok(&["list", "-o", "name"]).await;
    assert_eq!(printed.lines().collect::<Vec<_>>(), names);
    for name in names {
        assert!(yaml.contains(&format!("resourceArn: {name}")), "{yaml}");
        assert!(csv.lines().any(|line| line.ends_with(name)), "{csv}");
    }
    service.stop().await;
}
