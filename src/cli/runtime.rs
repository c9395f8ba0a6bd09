//! The runtime of the verbs that wait for something.

use std::{future::Future, process::ExitCode};

/// Runs a verb to its end.
pub(super) fn block_on(verb: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(verb),
        Err(error) => {
            anstream::eprintln!("logkey: the system gives no threads: {error}");
            ExitCode::FAILURE
        }
    }
}
