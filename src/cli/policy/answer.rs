//! What a subcommand of `logkey policy` prints, and why it fails.

use std::process::ExitCode;

use logkey_client::output::Report;

/// What a subcommand prints.
#[derive(Debug)]
pub(super) struct Answer {
    /// For people, its notes; for programs, the rest.
    pub(super) report: Report,
    /// The exit code.
    pub(super) code: ExitCode,
}

/// The configuration or the arguments are invalid: one problem on each line.
#[derive(Debug)]
pub(super) struct Invalid(pub(super) String);

/// Joins diagnostics, one on each line.
pub(super) fn lines<F: ToString>(diagnostics: &[F]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
