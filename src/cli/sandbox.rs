//! `logkey sandbox`: runs the embedded AWS alone, so that you can try other programs against it.
#![expect(clippy::print_stderr, reason = "a subcommand reports errors to its user")]

use std::{future::Future, io, io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::sandbox::{
    Sandbox,
    clock::Clock,
    seed::{Seed, SeedErrors},
};

/// The seed without `--seed`.
const DEFAULT_SEED: &str = include_str!("sandbox.toml");
/// How many accounts the banner lists.
const ACCOUNTS_SHOWN: usize = 10;
/// The exit code if the seed is invalid.
const BAD_SEED: u8 = 2;

/// Run the embedded AWS (STS, `CloudWatch` Logs and KMS) alone. It is a stand-in for tests and trials: it
/// encrypts nothing and keeps its state in memory only.
#[derive(Args, Debug)]
pub struct SandboxArgs {
    /// The address and port to listen on; port 0 chooses a free port.
    #[arg(long, default_value = "127.0.0.1:4566")]
    pub listen: SocketAddr,
    /// A TOML file with accounts, roles, keys, log groups, quotas and faults; without it, one account.
    #[arg(long, value_name = "FILE")]
    pub seed: Option<PathBuf>,
}

#[derive(Debug, Error)]
enum SandboxError {
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Seed(#[from] SeedErrors),
}

/// Serves until SIGINT or SIGTERM.
pub async fn run(args: SandboxArgs) -> ExitCode {
    let result = match shutdown_signal() {
        Ok(shutdown) => serve(&args, shutdown).await,
        Err(error) => Err(SandboxError::Signals(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(SandboxError::Seed(SeedErrors(diagnostics))) => {
            let file = args.seed.map_or_else(String::new, |file| format!("{}: ", file.display()));
            for error in diagnostics {
                eprintln!("{file}{}: {}", error.location, error.message);
            }
            ExitCode::from(BAD_SEED)
        }
        Err(error @ (SandboxError::Read(..) | SandboxError::Listen(..) | SandboxError::Signals(..))) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            eprintln!("logkey sandbox: {error}: {}", cause.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &SandboxArgs, shutdown: impl Future<Output = ()>) -> Result<(), SandboxError> {
    let text = match &args.seed {
        None => DEFAULT_SEED.to_owned(),
        Some(file) => {
            tokio::fs::read_to_string(file).await.map_err(|error| SandboxError::Read(file.clone(), error))?
        }
    };
    let seed: Seed = text.parse()?;
    let sandbox = Sandbox::new(&seed, Clock::default())?;
    let listen_error = |error| SandboxError::Listen(args.listen, error);
    let listener = TcpListener::bind(args.listen).await.map_err(listen_error)?;
    let banner = banner(listener.local_addr().map_err(listen_error)?, &seed);
    // A write fails if the reader closed the pipe; the sandbox runs without the banner then.
    drop(anstream::stdout().write_all(banner.as_bytes()));
    sandbox.serve(listener, shutdown).await;
    Ok(())
}

/// Says that this is not AWS, and how to reach it.
fn banner(address: SocketAddr, seed: &Seed) -> String {
    let service_principal = seed.service_principal.clone().unwrap_or_default();
    let mut lines = vec![
        "This is a stand-in for AWS, for tests and trials. It encrypts nothing and keeps its state in memory only."
            .to_owned(),
        format!("endpoint      http://{address}"),
        format!(
            "credentials   AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY=anything",
            service_principal.access_key_id
        ),
    ];
    for account in seed.accounts.iter().take(ACCOUNTS_SHOWN) {
        let id = &account.account_id;
        lines.push(format!("account       {id}, as its administrator: AWS_ACCESS_KEY_ID=AKIAADMIN{id}"));
    }
    if let Some(more) = seed.accounts.len().checked_sub(ACCOUNTS_SHOWN).filter(|more| *more > 0) {
        lines.push(format!("              and {more} more"));
    }
    lines.push(format!("control       http://{address}/_sandbox/journal, /faults, /state, /seed\n"));
    lines.join("\n")
}

/// Resolves on SIGINT or SIGTERM. It catches signals from this call on, not only while it is polled.
fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_seed_is_valid() {
        let seed: Seed = DEFAULT_SEED.parse().unwrap();
        Sandbox::new(&seed, Clock::default()).unwrap();
    }

    #[tokio::test]
    async fn an_invalid_seed_is_reported_before_the_sandbox_listens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seed.toml");
        std::fs::write(&file, "surprise = 1\nwonder = 2\n").unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let args = SandboxArgs { listen, seed: Some(file) };
        let error = serve(&args, std::future::pending()).await.unwrap_err();
        let SandboxError::Seed(SeedErrors(diagnostics)) = error else {
            panic!("{error}");
        };
        assert_eq!(diagnostics.len(), 2);
    }
}
