//! `logkey audit show`: prints one event.

use std::{io::Write as _, process::ExitCode};

use clap::Args;
use uuid::Uuid;

use super::{failure::Failure, log_location::LogLocation};
use crate::domain::audit::EventId;

/// The arguments of `logkey audit show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    location: LogLocation,
    /// The event's id, from a response or from `logkey audit list --json`.
    id: Uuid,
    /// Print exactly the stored bytes, on one line.
    #[arg(long)]
    raw: bool,
}

pub(super) async fn run(args: ShowArgs) -> Result<ExitCode, Failure> {
    let open = args.location.open().await?;
    let found = open.log.find(EventId(args.id)).await?;
    let event = found.ok_or_else(|| format!("the log has no event {}", args.id))?;
    let mut out = anstream::stdout().lock();
    if args.raw {
        writeln!(out, "{}", event.body)?;
    } else {
        let json: serde_json::Value = serde_json::from_str(&event.body)?;
        writeln!(out, "event {} of the log\n{json:#}", event.seq)?;
    }
    Ok(ExitCode::SUCCESS)
}
