//! `logkey bulk plan` and `import`: create a job.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use super::{import::read_arns, job, watch};
use crate::{
    failure::Failure,
    output::{self, OutputArgs},
    proto::{
        CreateBulkAssociationRequest, Safety, Selection,
        bulk_association_service_client::BulkAssociationServiceClient,
        create_bulk_association_request::Change,
    },
    session::Session,
    verbs::{
        selection::{CurrentKeyArgs, KeyArgs, SelectionArgs},
        shared::repeatable,
    },
};

/// The arguments of `logkey bulk plan`.
#[derive(Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    job: NewJobArgs,
}

/// The arguments of `logkey bulk import`.
#[derive(Args, Debug)]
pub(super) struct ImportArgs {
    /// A CSV file with a header and a column `arn`; other columns are ignored. `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    job: NewJobArgs,
}

#[derive(Args, Debug)]
struct NewJobArgs {
    #[command(flatten)]
    current: CurrentKeyArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Remove the key instead of setting one
    #[arg(long, conflicts_with_all = ["key", "overrides"])]
    disassociate: bool,
    /// Start the job as soon as it is planned, and follow it to its end
    #[arg(long)]
    start: bool,
    /// Pause when more log groups than this failed
    #[arg(long, value_name = "N")]
    max_failures: Option<u32>,
    /// Pause once after this many log groups succeeded
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    canary: u32,
    /// Change nothing before this time, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    /// Change nothing from this time on
    #[arg(long, value_name = "TIME")]
    not_after: Option<Timestamp>,
    /// The reason for the changes, such as a ticket number. The audit log keeps it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// The id of the request. Repeat it to repeat the same request; it is random by default
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

pub(super) async fn plan(session: &Session, args: PlanArgs, output: &OutputArgs) -> Result<(), Failure> {
    let selection = args.selection.selection(Some(&args.job.current));
    create(session, selection, args.job, output).await
}

pub(super) async fn import(session: &Session, args: ImportArgs, output: &OutputArgs) -> Result<(), Failure> {
    let resource_arns = read_arns(&args.file)?;
    let selection = args.job.current.apply(Selection { resource_arns, ..Selection::default() });
    create(session, selection, args.job, output).await
}

async fn create(
    session: &Session,
    selection: Selection,
    args: NewJobArgs,
    output: &OutputArgs,
) -> Result<(), Failure> {
    let change = match (args.key.choice(), args.disassociate) {
        (Some(key), false) => Change::Key(key),
        (None, true) => Change::Disassociate(true),
        (None, false) | (Some(_), true) => {
            return Err(Failure::Usage(
                "name the key with --key, or remove it with --disassociate".to_owned(),
            ));
        }
    };
    let start = args.start;
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = CreateBulkAssociationRequest {
        selection: Some(selection),
        change: Some(change),
        start,
        safety: args.safety(),
        request_id: request_id.clone(),
        reason: args.reason,
    };
    let created = session.call(request, async |channel, request| {
        BulkAssociationServiceClient::new(channel).create_bulk_association(request).await
    });
    let created = created.await.map_err(|failure| repeatable(failure, &request_id))?;
    let created = created.bulk_association.unwrap_or_default();
    let expected = |job: &_| if start { job::is_at_rest(job) } else { job::is_planned(job) };
    let job = watch::until(session, &created.id, output, expected).await?;
    output::print(&job::report(&job), output)?;
    job::conclude(&job)
}

impl NewJobArgs {
    fn safety(&self) -> Option<Safety> {
        let time = |time: Timestamp| prost_types::Timestamp {
            seconds: time.as_second(),
            nanos: time.subsec_nanosecond(),
        };
        let safety = Safety {
            max_failures: self.max_failures,
            canary: self.canary,
            start_time: self.not_before.map(time),
            end_time: self.not_after.map(time),
        };
        (safety != Safety::default()).then_some(safety)
    }
}
