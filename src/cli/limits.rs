//! `logkey limits`: prints the current state of tenant quotas and AWS quotas. It reads them from the admin
//! port of a running service.

use std::{error::Error, process::ExitCode, time::Duration};

use clap::Args;
use comfy_table::{Table, presets};

use crate::limit::view::LimitsView;

/// How long the service may take to respond.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Show the current state of tenant quotas and AWS quotas.
#[derive(Args, Clone, Debug)]
pub(super) struct LimitsArgs {
    /// The URL of the service's admin port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    admin: url::Url,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(super) async fn run(args: LimitsArgs) -> ExitCode {
    match fetch_tables(&args).await {
        Ok(text) => {
            anstream::println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            anstream::eprintln!("logkey: cannot read the limits from {}: {error}{cause}", args.admin);
            ExitCode::FAILURE
        }
    }
}

async fn fetch_tables(args: &LimitsArgs) -> Result<String, Box<dyn Error>> {
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let body = client.get(args.admin.join("limits")?).send().await?.error_for_status()?.text().await?;
    if args.json {
        return Ok(body.trim_end().to_owned());
    }
    Ok(tables(&serde_json::from_str(&body)?))
}

fn tables(view: &LimitsView) -> String {
    let backend = view.backend.iter().map(|state| format!("backend: {state}"));
    if view.tenants.is_empty() && view.quota_keys.is_empty() {
        return backend.chain(["no limit is in use".to_owned()]).collect::<Vec<_>>().join("\n");
    }
    let mut tenants = Table::new();
    tenants.load_preset(presets::NOTHING).set_header(["TENANT", "REMAINING", "FULL IN", "IN FLIGHT"]);
    for tenant in &view.tenants {
        tenants.add_row([
            tenant.tenant.clone(),
            tenant.remaining.to_string(),
            format!("{} ms", tenant.reset_ms),
            tenant.in_flight.to_string(),
        ]);
    }
    let mut quota_keys = Table::new();
    quota_keys.load_preset(presets::NOTHING).set_header([
        "ACCOUNT",
        "REGION",
        "OPERATION",
        "QUOTA",
        "SOURCE",
        "RATE",
        "WAITING",
        "IN FLIGHT",
    ]);
    for quota_key in &view.quota_keys {
        quota_keys.add_row([
            quota_key.account.clone(),
            quota_key.region.clone(),
            quota_key.operation.clone(),
            format!("{}/s", quota_key.quota),
            quota_key.quota_from.clone(),
            format!("{:.2}/s", quota_key.effective_rate),
            quota_key.waiting.to_string(),
            quota_key.in_flight.to_string(),
        ]);
    }
    let both = backend.chain(tenants.lines()).chain([String::new()]).chain(quota_keys.lines());
    both.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::view::{QuotaKeyView, TenantView};

    #[test]
    fn each_tenant_and_each_quota_key_is_one_row() {
        let view = LimitsView {
            tenants: vec![TenantView { tenant: "acme".into(), remaining: 9, reset_ms: 100, in_flight: 2 }],
            quota_keys: vec![QuotaKeyView {
                account: "111122223333".into(),
                region: "eu-west-1".into(),
                operation: "AssociateKmsKey".into(),
                quota: 5.0,
                quota_from: "default".into(),
                effective_rate: 3.104,
                waiting: 7,
                in_flight: 1,
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
        assert_eq!(tables(&LimitsView::default()), "no limit is in use");
        let shared = LimitsView { backend: Some("redis is up".into()), ..view };
        assert_eq!(tables(&shared).lines().next(), Some("backend: redis is up"));
    }
}
