//! Single changes and reads.

use serde_json::Value;

use super::Cli;
use crate::harness::{GROUP, PAYMENTS, Plan, REGION, key};

#[tokio::test]
async fn a_key_is_set_read_listed_and_removed() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let (aws, good) = (service.sandbox.sandbox(), key("good"));
    let dry = cli.ok(&["associate", GROUP, "--key", &good, "--dry-run"]).await;
    assert!(dry.contains("Nothing was changed"), "{dry}");
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), None);

    let set = cli.json(&["associate", GROUP, "--key", &good, "--expect", "", "--reason", "CHG-1"]).await;
    assert_eq!(set["association"]["kmsKeyArn"], good);
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), Some(good.clone()));
    let arn = cli.ok(&["get", GROUP, "-o", "name"]).await;
    assert_eq!(arn, format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:{GROUP}\n"));
    assert_eq!(cli.json(&["get", arn.trim()]).await["association"]["kmsKeyArn"], good);
    let listed = cli.ok(&["list", "--all-accounts", "--prefix", "/payments/a", "-o", "csv"]).await;
    let mut lines = listed.lines();
    assert!(lines.next().unwrap().starts_with("resource,kms_key_arn,state,"), "{listed}");
    assert!(lines.any(|line| line.starts_with(&format!("{GROUP},{good},"))), "{listed}");
    assert_eq!(cli.ok(&["list", "--other-than", &good, "--prefix", GROUP, "-o", "name"]).await, "");

    let later = cli.run(&["disassociate", GROUP, "--expect", &good, "--wait", "--wait-timeout", "1ms"]).await;
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), None);
    assert!([0, 5].contains(&later.code), "{}", later.stderr);
    assert!(later.stdout.contains("Audit event"), "what was done is printed: {}", later.stdout);
    let usage = cli.json(&["usage", &good]).await;
    assert_eq!(usage["verdict"], "DELETION_VERDICT_STILL_PROTECTS_DATA");
    service.stop().await;
}

#[tokio::test]
async fn query_results_need_no_arn() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let set = cli.json(&["associate", "query-results", "--key", &key("good")]).await;
    let arn = format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*");
    assert_eq!(set["association"]["resourceArn"], arn);
    assert_eq!(cli.json(&["get", "query-results"]).await["association"]["kmsKeyArn"], key("good"));
    let other = cli.run(&["get", "query-results", "--region", "eu-west-2"]).await;
    assert_eq!(other.code, 2, "{}", other.stderr);
    service.stop().await;
}

#[tokio::test]
async fn the_remedy_is_printed_exactly_as_it_is_pasted() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let checked = cli.run(&["check-key", GROUP, "--key", "closed", "--print-remedy"]).await;
    assert_eq!(checked.code, 1, "{}", checked.stderr);
    let statement: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(statement["Effect"], "Allow", "{statement}");
    let table = cli.run(&["check-key", GROUP, "--key", "closed"]).await.stdout;
    assert!(table.contains("FAILED") && table.contains("\"Effect\""), "{table}");
    let fine = cli.run(&["check-key", GROUP, "--key", "good", "--print-remedy"]).await;
    assert_eq!((fine.code, fine.stdout.as_str()), (0, ""), "{}", fine.stderr);
    service.stop().await;
}

#[tokio::test]
async fn a_caller_over_the_rate_waits_and_then_succeeds() {
    let slow =
        crate::harness::tenant("payments", PAYMENTS, "{ per_second = 2, burst = 1, max_in_flight = 9 }");
    let service = Plan::default().tenants(&slow).start().await;
    let cli = Cli::of(&service);
    let calls = [cli.run(&["whoami"]), cli.run(&["whoami"]), cli.run(&["whoami"])];
    for ended in futures_util::future::join_all(calls).await {
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    service.stop().await;
}

#[tokio::test]
async fn access_reports_each_check_of_each_account() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let tested = cli.run(&["access", "-o", "json"]).await;
    let document: Value = serde_json::from_str(&tested.stdout).unwrap();
    let [location] = &document["locations"].as_array().unwrap()[..] else { panic!("{document}") };
    assert_eq!((&location["accountId"], &location["region"]), (&PAYMENTS.into(), &REGION.into()));
    let would_fail = location["verdict"] == "VERDICT_WOULD_FAIL";
    assert_eq!(tested.code, i32::from(would_fail), "{}", tested.stderr);
    service.stop().await;
}

#[tokio::test]
async fn events_are_listed_shown_and_followed() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    cli.ok(&["associate", GROUP, "--key", &key("good"), "--reason", "CHG-2"]).await;
    let listed = cli.json(&["events", "list", "--action", "AssociateKmsKey", "--outcome", "OK"]).await;
    let [outcome] = &listed["events"].as_array().unwrap()[..] else { panic!("{listed}") };
    let text = |name: &str| outcome[name].as_str().unwrap().to_owned();
    let story = cli.json(&["events", "show", &text("correlationId")]).await;
    let kinds: Vec<_> =
        story["events"].as_array().unwrap().iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["intent", "outcome"]);
    for event in ["id", "position"] {
        assert_eq!(cli.json(&["events", "show", &text(event)]).await, story, "by {event}");
    }
    let shown = cli.ok(&["events", "show", &text("id")]).await;
    assert!(shown.contains("AWS request ids of "), "{shown}");
    let followed = cli.ok(&["events", "follow", "--after", "0", "--limit", "2", "-o", "json"]).await;
    let position =
        |line| serde_json::from_str::<Value>(line).unwrap()["position"].as_str().unwrap().to_owned();
    let positions: Vec<String> = followed.lines().map(position).collect();
    assert_eq!(positions.len(), 2, "one document on each line: {followed}");
    let follow = async |form: &[&str]| {
        cli.ok(&[&["events", "follow", "--after", "0", "--limit", "2"][..], form].concat()).await
    };
    let csv = follow(&["-o", "csv"]).await;
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows.len() == 3 && rows[0].starts_with("position,time,kind,"), "one header: {csv}");
    for (row, position) in rows[1..].iter().zip(&positions) {
        assert!(row.starts_with(&format!("{position},")), "{csv}");
    }
    let yaml = follow(&["-o", "yaml"]).await;
    assert_eq!(yaml.matches("---\n").count(), 2, "one document for each event: {yaml}");
    assert!(
        yaml.starts_with("---\n") && yaml.contains(&format!("\nposition: \"{}\"\n", positions[1])),
        "{yaml}"
    );
    assert_eq!(follow(&["--quiet"]).await, "");
    let beyond = cli.run(&["events", "show", "999999"]).await;
    assert_eq!(beyond.code, 4, "{}", beyond.stderr);
    assert!(beyond.stderr.contains("position"), "{}", beyond.stderr);
    service.stop().await;
}
