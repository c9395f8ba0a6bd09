//! The subcommands of `logkey events`.

use clap::{Args, Subcommand};

use super::{follow, list, story};
use crate::{failure::Failure, verbs::shared::ServiceArgs};

/// The arguments of `logkey events`.
#[derive(Args, Debug)]
pub struct EventsArgs {
    #[command(subcommand)]
    command: EventsCommand,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    /// List events, newest first
    List(list::ListArgs),
    /// Show every event of one call: the intent, the outcome, and how it was reconciled
    Show(story::ShowArgs),
    /// Print events as they happen, one on each line
    Follow(follow::FollowArgs),
}

pub(in crate::verbs) async fn run(args: EventsArgs) -> Result<(), Failure> {
    let session = args.service.open()?;
    match args.command {
        EventsCommand::List(list) => list::run(&session, list, &args.service.output).await,
        EventsCommand::Show(show) => story::run(&session, &show, &args.service).await,
        EventsCommand::Follow(follow) => follow::run(&session, follow, &args.service.output).await,
    }
}
