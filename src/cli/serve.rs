//! `logkey serve`: runs the service until a signal stops it.

use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{config_file::ConfigFile, service_manager};
use crate::{
    app::{
        AdminPort, App, Listeners, descriptors,
        telemetry::{self, ProcessTelemetry},
        watch::{self, Fingerprints},
    },
    config::{ProcessEnv, Settings, join_diagnostics},
    domain::error_chain::error_chain,
    otlp::Exporter,
};

/// The exit code if the settings are invalid.
const EXIT_USAGE: u8 = 2;

/// The arguments of `logkey serve`.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) async fn run(args: ServeArgs) -> ExitCode {
    let config = args.config.path(&ProcessEnv);
    let settings = match Settings::load(&config, &ProcessEnv) {
        Ok(settings) => settings,
        Err(diagnostics) => {
            anstream::eprintln!("{}", join_diagnostics(&diagnostics));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match Box::pin(serve(settings, config)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("logkey: {}", error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(mut settings: Settings, config: PathBuf) -> Result<(), Box<dyn Error>> {
    let fingerprints = Fingerprints::of(settings.files.clone());
    let exporter = settings.telemetry.otlp.clone().map(Exporter::start).transpose();
    let exporter =
        exporter.map_err(|error| format!("[telemetry.otlp] cannot be used: {}", error_chain(&error)))?;
    let exporter = exporter.map(Arc::new);
    let ProcessTelemetry { metrics, log: _log } = telemetry::init(&settings.telemetry, exporter.as_deref())?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let connections = &mut settings.server.grpc.connections;
    *connections = descriptors::reserve(*connections)?;
    // Handle signals before any log line announces the service.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hangup = signal(SignalKind::hangup())?;
    let grpc_listener = bind(settings.server.listen, "server.listen").await?;
    let admin_listener = bind(settings.server.admin_listen, "server.admin_listen").await?;
    let (grpc, admin) = (grpc_listener.local_addr()?, admin_listener.local_addr()?);
    // Before the store is open, so that probes can tell a long upgrade of the store from a process that hangs.
    let listeners = Listeners { grpc: grpc_listener, admin: AdminPort::serve(admin_listener, Some(metrics)) };
    let drain_delay = settings.server.grpc.drain_delay;
    let drain_timeout = settings.server.grpc.drain_timeout;
    let starting = service_manager::starting();
    let app = Box::pin(App::start_with_progress(settings, None, &listeners.admin.upgrade())).await?;
    drop(starting);
    let watcher = tokio::spawn(watch::reload_on_change(
        app.reloader().with_exporter(exporter.clone()),
        config,
        Arc::new(ProcessEnv),
        fingerprints,
        hangup,
    ));
    tracing::info!(grpc = %grpc, admin = %admin, "serving");
    let _alive = service_manager::ready();
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        service_manager::stopping();
        tracing::info!(
            drain_delay_seconds = drain_delay.as_secs_f64(),
            "stopping: the service is not ready any more; it accepts calls until drain_delay has passed"
        );
    };
    let result = app.run(listeners, shutdown).await;
    watcher.abort();
    if let Some(exporter) = exporter {
        exporter.close(drain_timeout).await;
    }
    result?;
    tracing::info!("stopped");
    Ok(())
}

async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address} ({error}): free that port, or change {setting}"))
}
