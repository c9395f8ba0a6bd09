//! `logkey limits`: prints the current state of tenant quotas and AWS quotas. It reads them from the admin
//! port of a running service.

use std::{error::Error, process::ExitCode, time::Duration};

use clap::Args;
use logkey_client::output::{Column, OutputArgs, Report, Table, print};
use serde_json::Value;

use super::runtime::exit_code;
use crate::{domain::error_chain::error_chain, limit::view::LimitsView};

/// How long the service may take to respond.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Show the current state of tenant quotas and AWS quotas.
#[derive(Args, Clone, Debug)]
pub(super) struct LimitsArgs {
    /// The URL of the service's admin port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    admin: url::Url,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the subcommand.
pub(super) async fn run(args: LimitsArgs) -> ExitCode {
    let printed = match fetch(&args).await {
        Ok(report) => print(&report, &args.output),
        Err(error) => {
            anstream::eprintln!(
                "logkey: cannot read the limits from {}: {}; name the service's admin port (`server.admin_listen`) \
                 with --admin",
                args.admin,
                error_chain(&*error)
            );
            return ExitCode::FAILURE;
        }
    };
    exit_code(printed)
}

async fn fetch(args: &LimitsArgs) -> Result<Report, Box<dyn Error>> {
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let body = client.get(args.admin.join("limits")?).send().await?.error_for_status()?.text().await?;
    Ok(report(&serde_json::from_str(&body)?, serde_json::from_str(&body)?))
}

/// One row for each tenant, and one for each quota key.
fn report(view: &LimitsView, document: Value) -> Report {
    let columns = [
        Column::new("limit"),
        Column::new("remaining"),
        Column::new("full_in"),
        Column::new("in_flight"),
        Column::new("waiting"),
        Column::new("quota"),
        Column::new("rate"),
        Column::optional("source"),
    ];
    let mut table = Table::new(&columns, "no limit is in use");
    for tenant in &view.tenants {
        table.push([
            format!("tenant {}", tenant.tenant),
            tenant.remaining.to_string(),
            format!("{} ms", tenant.reset_ms),
            tenant.in_flight.to_string(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]);
    }
    for key in &view.quota_keys {
        table.push([
            format!("{} {} {}", key.account, key.region, key.operation),
            String::new(),
            String::new(),
            key.in_flight.to_string(),
            key.waiting.to_string(),
            format!("{}/s", key.quota),
            format!("{:.2}/s", key.effective_rate),
            key.quota_from.clone(),
        ]);
    }
    Report::new(document, table).detail("BACKEND", view.backend.clone().unwrap_or_default())
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
        let text = report(&view, Value::Null).to_text();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["tenant", "acme", "9", "100", "ms", "2", "-", "-", "-", "-"]);
        assert_eq!(
            rows[2],
            ["111122223333", "eu-west-1", "AssociateKmsKey", "-", "-", "1", "7", "5/s", "3.10/s", "default"]
        );
        assert_eq!(report(&LimitsView::default(), Value::Null).to_text(), "no limit is in use");
        let shared = LimitsView { backend: Some("redis is up".into()), ..view };
        assert!(report(&shared, Value::Null).to_text().starts_with("BACKEND  redis is up\n"));
    }
}
