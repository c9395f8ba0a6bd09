//! Tells the service manager (systemd) about the start, the stop and the health of the process. Without
//! `NOTIFY_SOCKET`, as outside systemd, nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::{task::JoinHandle, time};

/// How often the start asks for more time, and for how much.
const START_INTERVAL: Duration = Duration::from_secs(10);
const START_EXTENSION_MICROS: u32 = 60_000_000;

/// A task that reports to the service manager until it is dropped.
#[derive(Debug)]
pub(super) struct Reports(JoinHandle<()>);

/// Asks for more time while the service starts: an upgrade of a long store may take longer than
/// `TimeoutStartSec`.
pub(super) fn starting() -> Reports {
    Reports(tokio::spawn(async {
        let mut ticks = time::interval(START_INTERVAL);
        loop {
            ticks.tick().await;
            notify(&[
                NotifyState::Status("starting: opening the store"),
                NotifyState::ExtendTimeoutUsec(START_EXTENSION_MICROS),
            ]);
        }
    }))
}

/// Reports that the service is ready, and then, if the unit has a watchdog, that the process is alive. It is not
/// about the store: a restart does not repair a full disk.
pub(super) fn ready() -> Reports {
    notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
    let watchdog = sd_notify::watchdog_enabled();
    Reports(tokio::spawn(async move {
        let Some(timeout) = watchdog else { return };
        // Twice within the timeout, as sd_watchdog_enabled(3) recommends.
        let mut ticks = time::interval(timeout / 2);
        loop {
            ticks.tick().await;
            notify(&[NotifyState::Watchdog]);
        }
    }))
}

/// Reports that the service stops. The calls in flight continue.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping: calls in flight may finish")]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be notified at NOTIFY_SOCKET");
    }
}

// === impl Reports ===

impl Drop for Reports {
    fn drop(&mut self) {
        self.0.abort();
    }
}
