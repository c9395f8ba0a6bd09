//! The subcommands of `logkey bulk`.

use clap::{Args, Subcommand};

use super::{control, items, plan, watch};
use crate::{
    failure::Failure,
    verbs::{bulk::control::Control, shared::ServiceArgs},
};

/// The arguments of `logkey bulk`.
#[derive(Args, Debug)]
pub struct BulkArgs {
    #[command(subcommand)]
    command: BulkCommand,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum BulkCommand {
    /// Plan a job for a selection of log groups: read them and check everything, change nothing
    Plan(Box<plan::PlanArgs>),
    /// Plan a job for the log groups of a CSV file, such as `logkey list -o csv` writes
    Import(plan::ImportArgs),
    /// Start a planned job
    Start(control::StartArgs),
    /// Follow a job until it ends or somebody must decide
    Watch(control::JobArgs),
    /// List the jobs of the tenant, newest first
    List(items::ListArgs),
    /// Show a job
    Show(control::JobArgs),
    /// List the log groups of a job with their states
    Items(items::ItemsArgs),
    /// Pause a running job
    Pause(control::JobArgs),
    /// Continue a paused job
    Resume(control::ControlArgs),
    /// End a job. Changes that were made remain
    Cancel(control::JobArgs),
    /// Try the failed and unknown log groups of a job again
    Retry(control::ControlArgs),
    /// Give each changed log group the key that it had before the job
    Revert(control::RevertArgs),
}

pub(in crate::verbs) async fn run(args: BulkArgs) -> Result<(), Failure> {
    let output = &args.service.output;
    let session = args.service.open()?;
    match args.command {
        BulkCommand::Plan(args) => plan::plan(&session, *args, output).await,
        BulkCommand::Import(args) => plan::import(&session, args, output).await,
        BulkCommand::Start(args) => control::start(&session, args, output).await,
        BulkCommand::Watch(args) => watch::run(&session, &args.job, output).await,
        BulkCommand::List(args) => items::list(&session, args, output).await,
        BulkCommand::Show(args) => control::show(&session, &args.job, output).await,
        BulkCommand::Items(args) => items::items(&session, args, output).await,
        BulkCommand::Pause(args) => control::run(&session, Control::Pause, args.into(), output).await,
        BulkCommand::Resume(args) => control::run(&session, Control::Resume, args, output).await,
        BulkCommand::Cancel(args) => control::run(&session, Control::Cancel, args.into(), output).await,
        BulkCommand::Retry(args) => control::run(&session, Control::Retry, args, output).await,
        BulkCommand::Revert(args) => control::revert(&session, args, output).await,
    }
}
