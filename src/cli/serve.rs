//! `logkey serve`: runs the service until it is told to stop.

use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    app::{
        App, Listeners, join_faults, telemetry,
        watch::{self, Fingerprints},
    },
    config::{ProcessEnv, Settings},
    domain::error_chain::error_chain,
};

/// Exit code where the settings cannot be used.
const EXIT_USAGE: u8 = 2;

/// What `logkey serve` takes.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// The settings, in TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) async fn run(args: ServeArgs) -> ExitCode {
    let settings = match Settings::load(&args.config, &ProcessEnv) {
        Ok(settings) => settings,
        Err(faults) => {
            anstream::eprintln!("{}", join_faults(&faults));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match Box::pin(serve(settings, args.config)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("logkey: {}", error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings, config: PathBuf) -> Result<(), Box<dyn Error>> {
    let read = Fingerprints::of(settings.files.clone());
    let metrics = telemetry::init(&settings.telemetry)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    // Signals are caught before anything is announced.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hangup = signal(SignalKind::hangup())?;
    let listeners = Listeners {
        grpc: bind(settings.server.listen, "server.listen").await?,
        admin: bind(settings.server.admin_listen, "server.admin_listen").await?,
    };
    let (grpc, admin) = (listeners.grpc.local_addr()?, listeners.admin.local_addr()?);
    let app = Box::pin(App::start(settings, None, Some(metrics))).await?;
    let reloading =
        tokio::spawn(watch::reload_on_change(app.reloader(), config, Arc::new(ProcessEnv), read, hangup));
    tracing::info!(grpc = %grpc, admin = %admin, "serving");
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new calls, those under way may end");
    };
    let served = app.run(listeners, shutdown).await;
    reloading.abort();
    served?;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address} ({error}): free that port, or write another {setting}")
    })
}
