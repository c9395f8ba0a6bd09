//! `logkey limits`: where tenants and accounts stand now, from the admin port of a running service.

use std::{error::Error, process::ExitCode, time::Duration};

use clap::Args;
use comfy_table::{Table, presets};

use crate::limit::view::LimitsView;

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// See where limits stand now.
#[derive(Args, Clone, Debug)]
pub(super) struct LimitsArgs {
    /// The admin port of the service
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    admin: url::Url,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) async fn run(args: LimitsArgs) -> ExitCode {
    match told(&args).await {
        Ok(text) => {
            anstream::println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            anstream::eprintln!("logkey: {} does not tell its limits: {error}{cause}", args.admin);
            ExitCode::FAILURE
        }
    }
}

async fn told(args: &LimitsArgs) -> Result<String, Box<dyn Error>> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let answer = client.get(args.admin.join("limits")?).send().await?.error_for_status()?.text().await?;
    if args.json {
        return Ok(answer.trim_end().to_owned());
    }
    Ok(tables(&serde_json::from_str(&answer)?))
}

fn tables(view: &LimitsView) -> String {
    let counted = view.backend.iter().map(|told| format!("counted: {told}"));
    if view.tenants.is_empty() && view.lanes.is_empty() {
        return counted.chain(["nothing is in use".to_owned()]).collect::<Vec<_>>().join("\n");
    }
    let mut tenants = Table::new();
    tenants.load_preset(presets::NOTHING).set_header(["TENANT", "REMAINING", "WHOLE AGAIN IN", "IN FLIGHT"]);
    for tenant in &view.tenants {
        tenants.add_row([
            tenant.tenant.clone(),
            tenant.remaining.to_string(),
            format!("{} ms", tenant.reset_ms),
            tenant.in_flight.to_string(),
        ]);
    }
    let mut lanes = Table::new();
    lanes.load_preset(presets::NOTHING).set_header([
        "ACCOUNT",
        "REGION",
        "OPERATION",
        "QUOTA",
        "FROM",
        "BELIEVED",
        "WAITING",
        "UNDER WAY",
    ]);
    for lane in &view.lanes {
        lanes.add_row([
            lane.account.clone(),
            lane.region.clone(),
            lane.operation.clone(),
            format!("{}/s", lane.quota),
            lane.quota_from.clone(),
            format!("{:.2}/s", lane.believed),
            lane.waiting.to_string(),
            lane.under_way.to_string(),
        ]);
    }
    let both = counted.chain(tenants.lines()).chain([String::new()]).chain(lanes.lines());
    both.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::view::{LaneView, TenantView};

    #[test]
    fn tenants_and_lanes_are_a_row_each() {
        let view = LimitsView {
            tenants: vec![TenantView { tenant: "acme".into(), remaining: 9, reset_ms: 100, in_flight: 2 }],
            lanes: vec![LaneView {
                account: "111122223333".into(),
                region: "eu-west-1".into(),
                operation: "AssociateKmsKey".into(),
                quota: 5.0,
                quota_from: "default".into(),
                believed: 3.104,
                waiting: 7,
                under_way: 1,
            }],
            backend: None,
        };
        let text = tables(&view);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["acme", "9", "100", "ms", "2"]);
        assert_eq!(
            rows[4],
            ["111122223333", "eu-west-1", "AssociateKmsKey", "5/s", "default", "3.10/s", "7", "1"]
        );
        assert_eq!(tables(&LimitsView::default()), "nothing is in use");
        let shared = LimitsView { backend: Some("redis is up".into()), ..view };
        assert_eq!(tables(&shared).lines().next(), Some("counted: redis is up"));
    }
}
