//! `logkey whoami`: what the service sees.

use clap::Args;

use super::shared::{self, ServiceArgs};
use crate::{
    failure::Failure,
    output::{self, Column, Report, Table, to_json},
    proto::{GetCallerRequest, GetCallerResponse, tenant_service_client::TenantServiceClient},
};

/// The arguments of `logkey whoami`.
#[derive(Args, Debug)]
pub struct WhoamiArgs {
    #[command(flatten)]
    service: ServiceArgs,
}

pub(super) async fn run(args: WhoamiArgs) -> Result<(), Failure> {
    let session = args.service.open()?;
    let caller = session
        .call(GetCallerRequest {}, async |channel, request| {
            TenantServiceClient::new(channel).get_caller(request).await
        })
        .await?;
    Ok(output::print(&report(&caller), &args.service.output)?)
}

fn report(caller: &GetCallerResponse) -> Report {
    let columns = [
        Column::new("account"),
        Column::new("regions"),
        Column::new("log_groups"),
        Column::wide("kms_keys"),
        Column::wide("query_results"),
    ];
    let mut table = Table::new(&columns, "The tenant has no account.");
    for account in &caller.accounts {
        table.push([
            account.account_id.clone(),
            account.regions.join(" "),
            account.log_group_patterns.join(" "),
            account.kms_key_patterns.join(" "),
            account.query_results_allowed.to_string(),
        ]);
    }
    let limits = caller.limits.map(|limits| {
        format!(
            "{} a second, {} at once, {} in flight",
            limits.per_second, limits.burst, limits.max_in_flight
        )
    });
    Report::new(to_json(caller), table)
        .detail("TENANT", &caller.tenant_id)
        .detail("SUBJECT", &caller.subject)
        .detail("ISSUER", &caller.issuer)
        .detail("SCOPES", caller.scopes.join(" "))
        .detail("LIMITS", limits.unwrap_or_default())
        .detail("TOKEN EXPIRES", shared::time(caller.token_expire_time.as_ref()))
}
