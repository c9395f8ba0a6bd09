//! `logkey demo`: the whole main job on one machine, with nothing installed and no AWS account.
//!
//! It starts the embedded AWS and the service on free ports, then does the job through a real gRPC
//! client and checks each answer. Exit code 0 only if each step answered as expected.

mod show;
mod steps;
mod world;

use std::{error::Error, process::ExitCode};

use clap::Args;

use self::{show::Show, world::World};
use crate::domain::chain::chain;

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
            anstream::eprintln!("logkey demo: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Whether each step answered as expected.
async fn demo(args: &DemoArgs) -> Result<bool, Box<dyn Error>> {
    let mut show = Show::default();
    let world = World::start(args.port, args.verbose).await?;
    show.opening(&world);
    steps::all(&world, &mut show).await?;
    show.trail(&world.events().await?);
    show.by_hand(&world)?;
    let good = show.closing();
    if args.keep_running {
        show.running(&world);
        tokio::signal::ctrl_c().await?;
    }
    world.stop().await?;
    Ok(good)
}
