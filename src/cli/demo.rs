//! `logkey demo`: runs the main job, a bulk job and an encryption rule on one machine, without an AWS account. It starts the
//! embedded AWS and the service on free ports, calls the service through a real gRPC client and checks each response. It exits
//! with 0 only if each step answered as expected.

mod bulk_steps;
mod demo_call;
mod rule_steps;
mod show;
mod steps;
mod world;

use std::{error::Error, process::ExitCode};

use clap::Args;

use self::{show::Printer, world::DemoEnvironment};
use crate::domain::error_chain::error_chain;

/// The arguments of `logkey demo`.
#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Keep everything running after the steps, so that you can try it by hand; Ctrl-C stops it
    #[arg(long)]
    keep_running: bool,
    /// The gRPC port; 0 chooses a free port
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    port: u16,
    /// Print the service's log lines too
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

/// Runs the demo. Returns whether each step answered as expected.
async fn demo(args: &DemoArgs) -> Result<bool, Box<dyn Error>> {
    let mut printer = Printer::default();
    let demo = DemoEnvironment::start(args.port, args.verbose).await?;
    printer.opening(&demo);
    steps::all(&demo, &mut printer).await?;
    bulk_steps::all(&demo, &mut printer).await?;
    rule_steps::all(&demo, &mut printer).await?;
    printer.print_audit(&demo.events().await?);
    printer.manual_steps(&demo)?;
    let succeeded = printer.closing();
    if args.keep_running {
        printer.running(&demo);
        tokio::signal::ctrl_c().await?;
    }
    demo.stop().await?;
    Ok(succeeded)
}
