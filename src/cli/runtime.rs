//! The async runtime of the subcommands that do I/O, and the exit code of those that only print.

use std::{future::Future, io, process::ExitCode};

use logkey_client::output::is_closed_pipe;

/// The exit code after output. A reader that has read enough closes the pipe; that is no failure.
pub(super) fn exit_code(printed: io::Result<()>) -> ExitCode {
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(_unwritable) => ExitCode::FAILURE,
    }
}

/// Runs an async subcommand to completion on a new runtime.
pub(super) fn block_on(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => {
            anstream::eprintln!("logkey: cannot start the async runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
