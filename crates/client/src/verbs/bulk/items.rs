//! `logkey bulk list` and `items`.

use clap::{Args, ValueEnum};

use super::job;
use crate::{
    failure::Failure,
    output::{self, Column, Note, OutputArgs, Report, Table, remedy, to_json},
    proto::{
        BulkItem, BulkItemState, BulkState, ListBulkAssociationItemsRequest,
        ListBulkAssociationItemsResponse, ListBulkAssociationsRequest, ListBulkAssociationsResponse,
        bulk_association_service_client::BulkAssociationServiceClient, bulk_item,
    },
    session::Session,
    verbs::shared::{PAGE_SIZE, Page, pages, short_key, short_name, time},
};

/// The arguments of `logkey bulk list`.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Only jobs in these states
    #[arg(long = "state", value_enum, value_delimiter = ',')]
    states: Vec<JobState>,
    /// The tenant, for callers with `logkey:admin`
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
}

/// The arguments of `logkey bulk items`.
#[derive(Args, Debug)]
pub(super) struct ItemsArgs {
    /// The id of the job
    job: String,
    /// Only log groups in these states
    #[arg(long = "state", value_enum, value_delimiter = ',')]
    states: Vec<ItemState>,
    /// Only log groups with one of these reasons, such as `KEY_DISABLED`
    #[arg(long = "reason", value_delimiter = ',')]
    reasons: Vec<String>,
    /// Only log groups of this account
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    account: String,
    /// Only log groups of this Region
    #[arg(long, default_value = "", hide_default_value = true)]
    region: String,
}

/// The states of a job, without those that are not stored.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum JobState {
    Planning,
    Planned,
    Running,
    Paused,
    Succeeded,
    CompletedWithFailures,
    Cancelled,
    Failed,
}

/// The states of an item.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ItemState {
    Blocked,
    Waiting,
    Running,
    Succeeded,
    Unchanged,
    Failed,
    Unknown,
    Skipped,
}

pub(super) async fn list(session: &Session, args: ListArgs, output: &OutputArgs) -> Result<(), Failure> {
    let states: Vec<i32> = args.states.iter().map(|state| BulkState::from(*state).into()).collect();
    let jobs = pages(async |page_token| {
        let request = ListBulkAssociationsRequest {
            page_size: PAGE_SIZE,
            page_token,
            states: states.clone(),
            tenant_id: args.tenant.clone(),
        };
        let response = session.call(request, async |channel, request| {
            BulkAssociationServiceClient::new(channel).list_bulk_associations(request).await
        });
        let response = response.await?;
        Ok(Page { entries: response.bulk_associations, next_token: response.next_page_token })
    });
    let bulk_associations = jobs.await?;
    let columns = [
        Column::new("job"),
        Column::new("state"),
        Column::new("done"),
        Column::new("failed"),
        Column::optional("created"),
        Column::wide("subject"),
        Column::wide("reason"),
        Column::wide("ended"),
        Column::wide("rule"),
        Column::wide("tenant"),
    ];
    let mut table = Table::new(&columns, "There is no job.");
    for it in &bulk_associations {
        let counts = it.counts.unwrap_or_default();
        table.push([
            it.id.clone(),
            job::state(it),
            format!("{}/{}", job::done(&counts), counts.total),
            counts.failed.to_string(),
            time(it.create_time.as_ref()),
            it.subject.clone(),
            it.reason.clone(),
            time(it.end_time.as_ref()),
            it.rule_id.clone(),
            it.tenant_id.clone(),
        ]);
    }
    let response = ListBulkAssociationsResponse { bulk_associations, next_page_token: String::new() };
    Ok(output::print(&Report::new(to_json(&response), table), output)?)
}

pub(super) async fn items(session: &Session, args: ItemsArgs, output: &OutputArgs) -> Result<(), Failure> {
    let states: Vec<i32> = args.states.iter().map(|state| BulkItemState::from(*state).into()).collect();
    let items = pages(async |page_token| {
        let request = ListBulkAssociationItemsRequest {
            id: args.job.clone(),
            page_size: PAGE_SIZE,
            page_token,
            states: states.clone(),
            reasons: args.reasons.clone(),
            account_id: args.account.clone(),
            region: args.region.clone(),
            tenant_id: String::new(),
        };
        let response = session.call(request, async |channel, request| {
            BulkAssociationServiceClient::new(channel).list_bulk_association_items(request).await
        });
        let response = response.await?;
        Ok(Page { entries: response.items, next_token: response.next_page_token })
    });
    let items = items.await?;
    let columns = [
        Column::new("resource"),
        Column::new("account"),
        Column::new("region"),
        Column::new("state"),
        Column::narrow("key"),
        Column::new("reason"),
        Column::wide("kms_key_arn"),
        Column::wide("previous_kms_key_arn"),
        Column::wide("attempts"),
        Column::wide("ended"),
        Column::wide("audit_event"),
        Column::wide("message"),
    ];
    let mut table = Table::new(&columns, "No log group matches.");
    for item in &items {
        table.push(row(item));
    }
    let notes = causes(&items);
    let response = ListBulkAssociationItemsResponse { items, next_page_token: String::new() };
    Ok(output::print(&Report::new(to_json(&response), table).notes(notes), output)?)
}

fn row(it: &BulkItem) -> [String; 12] {
    let resource = match &it.resource {
        Some(bulk_item::Resource::LogGroupName(name)) => name.clone(),
        Some(bulk_item::Resource::QueryResults(_)) => "query-results".to_owned(),
        None => String::new(),
    };
    [
        resource,
        it.account_id.clone(),
        it.region.clone(),
        short_name(it.state().as_str_name(), "BULK_ITEM_STATE_"),
        short_key(&it.kms_key_arn),
        it.reason.clone(),
        it.kms_key_arn.clone(),
        it.previous_kms_key_arn.clone(),
        it.attempts.to_string(),
        time(it.end_time.as_ref()),
        it.audit_event_id.clone(),
        it.message.clone(),
    ]
}

/// What to do about the items, each text once.
fn causes(items: &[BulkItem]) -> Vec<Note> {
    let mut causes: Vec<Note> = Vec::new();
    for item in items.iter().filter(|item| !item.reason.is_empty()) {
        for note in remedy(&format!("{}: {}", item.reason, item.message), &item.remedy_document) {
            if !causes.contains(&note) {
                causes.push(note);
            }
        }
    }
    causes
}

impl From<JobState> for BulkState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Planning => Self::Planning,
            JobState::Planned => Self::Planned,
            JobState::Running => Self::Running,
            JobState::Paused => Self::Paused,
            JobState::Succeeded => Self::Succeeded,
            JobState::CompletedWithFailures => Self::CompletedWithFailures,
            JobState::Cancelled => Self::Cancelled,
            JobState::Failed => Self::Failed,
        }
    }
}

impl From<ItemState> for BulkItemState {
    fn from(state: ItemState) -> Self {
        match state {
            ItemState::Blocked => Self::Blocked,
            ItemState::Waiting => Self::Waiting,
            ItemState::Running => Self::Running,
            ItemState::Succeeded => Self::Succeeded,
            ItemState::Unchanged => Self::Unchanged,
            ItemState::Failed => Self::Failed,
            ItemState::Unknown => Self::Unknown,
            ItemState::Skipped => Self::Skipped,
        }
    }
}
