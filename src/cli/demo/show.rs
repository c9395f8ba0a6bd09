//! What the demo shows: each step as what was asked, what came back, how long it took.

use std::{error::Error, time::Duration};

use anstream::println;
use anstyle::{AnsiColor, Style};

use super::world::{DemoEnvironment, GOOD_KEY, PAYMENTS, REGION};
use crate::{audit::parsed_event::ParsedEvent, cli::audit::table::table};

const TITLE: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// What was shown so far.
#[derive(Debug, Default)]
pub(super) struct Printer {
    steps: usize,
    failed: usize,
}

/// One step and how it went.
#[derive(Debug)]
pub(super) struct Step {
    /// What it is for.
    pub(super) title: &'static str,
    /// What was asked.
    pub(super) request: String,
    /// What came back.
    pub(super) answer: String,
    /// How long that took.
    pub(super) took: Duration,
    /// Why it is not what was expected; none where it is.
    pub(super) wrong: Option<String>,
}

// === impl Show ===

impl Printer {
    pub(super) fn opening(&self, demo: &DemoEnvironment) {
        let Self { .. } = self;
        println!("{TITLE}logkey demo{TITLE:#}");
        println!("  an embedded stand-in for AWS   {}", demo.aws());
        println!("  the service, gRPC              {}", demo.address());
        println!("  its admin port                 http://{}", demo.admin());
        println!("  its settings                   {}", demo.settings().display());
        println!();
        println!("Two tenants, each with an account, a role and an external id: payments and orders.");
        println!();
    }

    pub(super) fn step(&mut self, step: &Step) {
        let Step { title, request: asked, answer, took, wrong } = step;
        self.steps += 1;
        let (style, mark) = if wrong.is_none() { (GOOD, "✓") } else { (BAD, "✗") };
        let number = self.steps;
        println!("{style}{mark}{style:#} {TITLE}{number:>2}. {title}{TITLE:#}");
        println!("     {QUIET}asked{QUIET:#}   {asked}");
        for (at, line) in answer.lines().enumerate() {
            let label = if at == 0 { "answer" } else { "" };
            println!("     {QUIET}{label:<6}{QUIET:#}  {line}");
        }
        println!("     {QUIET}took    {:.1} ms{QUIET:#}", took.as_secs_f64() * 1e3);
        if let Some(wrong) = wrong {
            self.failed += 1;
            println!("     {BAD}not as expected: {wrong}{BAD:#}");
        }
        println!();
    }

    pub(super) fn print_audit(&self, events: &[ParsedEvent]) {
        let Self { .. } = self;
        println!("{TITLE}What the audit log holds of this{TITLE:#}, oldest first:");
        println!();
        println!("{}", table(events));
        println!();
    }

    pub(super) fn manual_steps(&self, demo: &DemoEnvironment) -> Result<(), Box<dyn Error>> {
        let Self { .. } = self;
        let token = demo.token("payments", super::world::ALL_SCOPES)?;
        let key = format!("arn:aws:kms:{REGION}:{PAYMENTS}:key/{GOOD_KEY}");
        println!("{TITLE}By hand{TITLE:#}, while it runs (start it with --keep-running):");
        println!();
        println!("grpcurl -plaintext -H 'authorization: Bearer {token}' \\");
        println!(
            "  -d '{{\"log_group_name\": \"/payments/api\", \"kms_key_id\": \"{key}\", \"reason\": \"by hand\"}}' \\"
        );
        println!("  {} keyassociation.v1.KeyAssociationService/AssociateKmsKey", demo.address());
        println!();
        Ok(())
    }

    /// Whether every step went as expected.
    pub(super) fn closing(&self) -> bool {
        let Self { steps, failed } = self;
        let style = if *failed == 0 { GOOD } else { BAD };
        println!("{style}{} of {steps} steps answered as expected{style:#}", steps - failed);
        *failed == 0
    }

    pub(super) fn running(&self, demo: &DemoEnvironment) {
        let Self { .. } = self;
        println!("still serving on {}; interrupt (Ctrl-C) to end", demo.address());
    }
}
