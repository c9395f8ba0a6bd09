//! Prints the demo: each step with its request, its response and its duration.

use std::{error::Error, time::Duration};

use anstream::println;
use anstyle::{AnsiColor, Style};

use super::world::{DemoEnvironment, GOOD_KEY, PAYMENTS, REGION};
use crate::{audit::parsed_event::ParsedEvent, cli::audit::table::table};

const TITLE: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints the steps and counts them.
#[derive(Debug, Default)]
pub(super) struct Printer {
    steps: usize,
    failed: usize,
}

/// One step and its result.
#[derive(Debug)]
pub(super) struct Step {
    /// What the step demonstrates.
    pub(super) title: &'static str,
    /// The request, in short.
    pub(super) request: String,
    /// The response, in short.
    pub(super) response: String,
    /// How long the call took.
    pub(super) took: Duration,
    /// Why the response is not as expected; `None` if it is.
    pub(super) mismatch: Option<String>,
}

// === impl Printer ===

impl Printer {
    pub(super) fn opening(&self, demo: &DemoEnvironment) {
        let Self { .. } = self;
        println!("{TITLE}logkey demo{TITLE:#}");
        println!("  the embedded AWS    {}", demo.aws());
        println!("  the service, gRPC   {}", demo.address());
        println!("  its admin port      http://{}", demo.admin());
        println!("  its configuration   {}", demo.settings().display());
        println!();
        println!(
            "There are two tenants, payments and orders. Each has an account, a role and an external id."
        );
        println!("A third one, platform, has three accounts.");
        println!();
    }

    pub(super) fn step(&mut self, step: &Step) {
        let Step { title, request, response, took, mismatch } = step;
        self.steps += 1;
        let (style, mark) = if mismatch.is_none() { (GOOD, "✓") } else { (BAD, "✗") };
        let number = self.steps;
        println!("{style}{mark}{style:#} {TITLE}{number:>2}. {title}{TITLE:#}");
        println!("     {QUIET}request{QUIET:#}   {request}");
        for (at, line) in response.lines().enumerate() {
            let label = if at == 0 { "response" } else { "" };
            println!("     {QUIET}{label:<8}{QUIET:#}  {line}");
        }
        println!("     {QUIET}took      {:.1} ms{QUIET:#}", took.as_secs_f64() * 1e3);
        if let Some(mismatch) = mismatch {
            self.failed += 1;
            println!("     {BAD}not as expected: {mismatch}{BAD:#}");
        }
        println!();
    }

    pub(super) fn print_audit(&self, events: &[ParsedEvent]) {
        let Self { .. } = self;
        let (of_fleet, of_calls): (Vec<_>, Vec<_>) =
            events.iter().cloned().partition(|event| event.tenant.as_deref() == Some("platform"));
        println!("{TITLE}The audit log of this demo{TITLE:#}, oldest event first:");
        println!();
        println!("{}", table(&of_calls));
        println!(
            "and {} events of platform, such as the intent and outcome of each item of its jobs",
            of_fleet.len()
        );
        println!();
    }

    pub(super) fn manual_steps(&self, demo: &DemoEnvironment) -> Result<(), Box<dyn Error>> {
        let Self { .. } = self;
        let token = demo.token("payments", super::world::ALL_SCOPES)?;
        let key = format!("arn:aws:kms:{REGION}:{PAYMENTS}:key/{GOOD_KEY}");
        println!("{TITLE}Try it by hand{TITLE:#} while the demo runs (start it with --keep-running):");
        println!();
        println!("grpcurl -plaintext -H 'authorization: Bearer {token}' \\");
        println!(
            "  -d '{{\"log_group_name\": \"/payments/api\", \"kms_key_id\": \"{key}\", \"reason\": \"by hand\"}}' \\"
        );
        println!("  {} keyassociation.v1.KeyAssociationService/AssociateKmsKey", demo.address());
        println!();
        Ok(())
    }

    /// Prints how many steps answered as expected. Returns whether all did.
    pub(super) fn closing(&self) -> bool {
        let Self { steps, failed } = self;
        let style = if *failed == 0 { GOOD } else { BAD };
        println!("{style}{} of {steps} steps answered as expected{style:#}", steps - failed);
        *failed == 0
    }

    pub(super) fn running(&self, demo: &DemoEnvironment) {
        let Self { .. } = self;
        println!("still serving on {}; press Ctrl-C to stop", demo.address());
    }
}
