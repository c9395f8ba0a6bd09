//! `logkey demo`: runs changes, refusals, a crash, a bulk job, an encryption rule and a check of the audit log on one machine,
//! without an AWS account. It starts the embedded AWS and the service on free ports, calls the service through a real gRPC
//! client and checks each response. It exits with 0 only if each step answered as expected.

mod audit_steps;
mod bulk_steps;
mod change_steps;
mod crash_steps;
mod demo_call;
mod refusal_steps;
mod rule_steps;
mod service_process;
mod show;
mod took;
mod world;

use std::{error::Error, process::ExitCode, time::Instant};

use clap::Args;

use self::{
    show::Printer,
    world::{ALL_SCOPES, DemoEnvironment},
};
use crate::domain::error_chain::error_chain;

/// The arguments of `logkey demo`.
#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Keep everything running after the steps, and print how to try it by hand; Ctrl-C stops it
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
    let began = Instant::now();
    let mut printer = Printer::default();
    let mut demo = DemoEnvironment::start(args.port, args.verbose).await?;
    Printer::opening(&demo);
    change_steps::all(&demo, &mut printer).await?;
    refusal_steps::all(&demo, &mut printer).await?;
    crash_steps::all(&mut demo, &mut printer).await?;
    bulk_steps::all(&demo, &mut printer).await?;
    rule_steps::all(&demo, &mut printer).await?;
    audit_steps::all(&demo, &mut printer).await?;
    let succeeded = printer.closing(began.elapsed());
    if args.keep_running {
        Printer::by_hand(&demo, &demo.token("payments", ALL_SCOPES)?);
        tokio::signal::ctrl_c().await?;
    }
    demo.stop().await?;
    Ok(succeeded)
}
