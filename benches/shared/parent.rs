//! What a server that a bench started does for its parent process: it reports its address or its error, and
//! ends with the parent.

use std::{io::Write as _, thread};

use crate::Outcome;

/// Prints the address for the parent process.
pub(crate) fn ready(address: &str) -> Outcome<()> {
    println!("{address}");
    Ok(std::io::stdout().flush()?)
}

/// Resolves when the parent process ends, which closes this process's standard input. It does not use tokio's
/// stdin, because a read of that cannot be cancelled and the runtime would wait for it.
pub(crate) async fn parent_exit() {
    let (gone, stop_signal) = tokio::sync::oneshot::channel::<()>();
    thread::spawn(move || {
        let _eof = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(gone);
    });
    let _closed = stop_signal.await;
}

/// Prints an error where the parent process expects an address.
pub(crate) fn report_error(result: Outcome<()>) -> Outcome<()> {
    if let Err(error) = &result {
        println!("{}", error.to_string().replace('\n', "; "));
    }
    result
}
