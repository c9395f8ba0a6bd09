//! The `logkey` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    logkey::cli::run()
}
