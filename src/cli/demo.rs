//! `logkey demo`: the whole main job on one machine, with nothing installed and no AWS account.
//!
//! It starts the embedded AWS and the service on free ports, then does the job through a real gRPC
//! client and checks each answer. Exit code 0 only if each step answered as expected.

mod show;
mod steps;
mod world;

use std::{error::Error, process::ExitCode};

use clap::Args;

use self::{show::Printer, world::DemoEnvironment};
use crate::domain::error_chain::error_chain;

/// What `logkey demo` takes.
#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Leave everything running afterwards, for trying it by hand, until interrupted
    #[arg(long)]
    keep_running: bool,
    /// The gRPC port; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    port: u16,
    /// Show the service's own log lines too
    #[arg(long)]
    verbose: bool,
}

pub(super) async fn run(args: DemoArgs) -> ExitCode {
    match demo(&args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("logkey demo: {}", error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Whether each step answered as expected.
async fn demo(args: &DemoArgs) -> Result<bool, Box<dyn Error>> {
    let mut show = Printer::default();
    let demo = DemoEnvironment::start(args.port, args.verbose).await?;
    show.opening(&demo);
    steps::all(&demo, &mut show).await?;
    show.print_audit(&demo.events().await?);
    show.manual_steps(&demo)?;
    let good = show.closing();
    if args.keep_running {
        show.running(&demo);
        tokio::signal::ctrl_c().await?;
    }
    demo.stop().await?;
    Ok(good)
}
