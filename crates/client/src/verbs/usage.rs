//! `logkey usage`: may a key be deleted, and from when.

use clap::Args;

use super::{
    association::{protects, used_resource},
    shared::{LocationArgs, PAGE_SIZE, Page, ServiceArgs, pages, short_name, time},
};
use crate::{
    failure::Failure,
    output::{self, Column, Report, Table, to_json},
    proto::{
        GetKeyUsageRequest, GetKeyUsageResponse, key_association_service_client::KeyAssociationServiceClient,
    },
};

/// The arguments of `logkey usage`.
#[derive(Args, Debug)]
pub struct UsageArgs {
    /// The key: a key ARN, alias ARN, `alias/NAME` or key id
    key: String,
    #[command(flatten)]
    location: LocationArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

pub(super) async fn run(args: UsageArgs) -> Result<(), Failure> {
    let session = args.service.open()?;
    let mut answer = GetKeyUsageResponse::default();
    let uses = pages(async |page_token| {
        let request = GetKeyUsageRequest {
            kms_key_id: args.key.clone(),
            account_id: args.location.account.clone().unwrap_or_default(),
            region: args.location.region.clone().unwrap_or_default(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let response = session.call(request, async |channel, request| {
            KeyAssociationServiceClient::new(channel).get_key_usage(request).await
        });
        answer = response.await?;
        let entries = std::mem::take(&mut answer.uses);
        Ok(Page { entries, next_token: std::mem::take(&mut answer.next_page_token) })
    });
    let uses = uses.await?;
    answer.uses = uses;
    Ok(output::print(&report(&answer), &args.service.output)?)
}

fn report(answer: &GetKeyUsageResponse) -> Report {
    let columns = [
        Column::new("resource"),
        Column::new("account"),
        Column::new("region"),
        Column::new("in_use"),
        Column::new("needed_until"),
        Column::wide("first_seen"),
        Column::wide("last_seen"),
        Column::wide("source"),
        Column::wide("arn"),
    ];
    let mut table = Table::new(&columns, "No use of the key is known.").named_by("arn");
    for it in &answer.uses {
        table.push([
            used_resource(it),
            it.account_id.clone(),
            it.region.clone(),
            if it.in_use { "yes" } else { "no" }.to_owned(),
            protects(it.protection(), it.protects_until_time.as_ref()),
            time(it.first_seen_time.as_ref()),
            time(it.last_seen_time.as_ref()),
            short_name(it.source().as_str_name(), "SOURCE_"),
            it.resource_arn.clone(),
        ]);
    }
    Report::new(to_json(answer), table)
        .detail("KEY", &answer.kms_key_arn)
        .detail("VERDICT", short_name(answer.verdict().as_str_name(), "DELETION_VERDICT_"))
        .detail("SAFE AFTER", time(answer.safe_after.as_ref()))
        .detail("KEY HEALTH", short_name(answer.key_health().as_str_name(), "KEY_HEALTH_"))
        .detail("KEY DELETION", time(answer.key_deletion_time.as_ref()))
        .detail("KNOWN AS OF", time(answer.known_as_of.as_ref()))
        .notes((!answer.coverage.is_empty()).then(|| answer.coverage.clone()))
}
