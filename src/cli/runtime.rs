//! The async runtime of the subcommands that do I/O.

use std::{future::Future, process::ExitCode};

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
