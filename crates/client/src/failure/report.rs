//! How a command ends.

use std::{io::Write as _, process::ExitCode};

use anstyle::{AnsiColor, Style};

use super::{error::Failure, exit_code};
use crate::output::is_closed_pipe;

const PREFIX: Style = AnsiColor::Red.on_default().bold();

/// Prints a failure on standard error and returns the exit code. A reader that closed the pipe has enough: that
/// is no failure.
#[must_use]
pub fn report(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(error)) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody can read it if this fails.
            let _ignored = writeln!(anstream::stderr().lock(), "{PREFIX}logkey:{PREFIX:#} {failure}");
            ExitCode::from(exit_code::of(&failure))
        }
    }
}
