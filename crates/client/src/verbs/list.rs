//! `logkey list`: the log groups of a location, or of every account of the tenant.

use clap::Args;

use super::{
    association, locations,
    shared::{LocationArgs, PAGE_SIZE, Page, ServiceArgs, pages},
};
use crate::{
    failure::Failure,
    output::{self, Report, to_json},
    proto::{
        KeyAssociation, KeyFilter, ListKeyAssociationsRequest, ListKeyAssociationsResponse,
        key_association_service_client::KeyAssociationServiceClient,
    },
    session::Session,
};

/// The arguments of `logkey list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Every account and Region of the tenant
    #[arg(long, conflicts_with_all = ["account", "region"])]
    all_accounts: bool,
    #[command(flatten)]
    location: LocationArgs,
    /// Only log groups whose names begin so
    #[arg(long, default_value = "")]
    prefix: String,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Which log groups to list; at most one.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct FilterArgs {
    /// Only log groups without a KMS key
    #[arg(long)]
    without_key: bool,
    /// Only log groups with a KMS key
    #[arg(long)]
    with_key: bool,
    /// Only log groups whose key is disabled, scheduled for deletion or deleted, or could not be checked
    #[arg(long)]
    unhealthy: bool,
    /// Only log groups with another key than this one, or without a KMS key
    #[arg(long, value_name = "KEY")]
    other_than: Option<String>,
}

pub(super) async fn run(args: ListArgs) -> Result<(), Failure> {
    let session = args.service.open()?;
    let (mut associations, mut failed) = (Vec::new(), Vec::new());
    if args.all_accounts {
        for location in locations::of_tenant(&session).await? {
            match list(&session, &args, &location.args()).await {
                Ok(page) => associations.extend(page),
                Err(failure) => failed.push(location.failed(failure)),
            }
        }
    } else {
        associations = list(&session, &args, &args.location).await?;
    }
    let mut table = association::table("No log group matches.");
    for association in &associations {
        association::push(&mut table, association);
    }
    let response = ListKeyAssociationsResponse { associations, next_page_token: String::new() };
    output::print(&Report::new(to_json(&response), table), &args.service.output)?;
    locations::all_answered(failed)
}

async fn list(
    session: &Session,
    args: &ListArgs,
    location: &LocationArgs,
) -> Result<Vec<KeyAssociation>, Failure> {
    pages(async |page_token| {
        let request = ListKeyAssociationsRequest {
            account_id: location.account.clone().unwrap_or_default(),
            region: location.region.clone().unwrap_or_default(),
            page_size: PAGE_SIZE,
            page_token,
            log_group_name_prefix: args.prefix.clone(),
            key_filter: args.filter.key_filter().into(),
            expected_kms_key_id: args.filter.other_than.clone().unwrap_or_default(),
        };
        let response = session.call(request, async |channel, request| {
            KeyAssociationServiceClient::new(channel).list_key_associations(request).await
        });
        let response = response.await?;
        Ok(Page { entries: response.associations, next_token: response.next_page_token })
    })
    .await
}

impl FilterArgs {
    fn key_filter(&self) -> KeyFilter {
        if self.without_key {
            KeyFilter::WithoutKey
        } else if self.with_key {
            KeyFilter::WithKey
        } else if self.unhealthy {
            KeyFilter::KeyUnhealthy
        } else if self.other_than.is_some() {
            KeyFilter::WithOtherKey
        } else {
            KeyFilter::Any
        }
    }
}
