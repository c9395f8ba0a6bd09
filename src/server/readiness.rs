//! Whether the service can serve calls: the one source of `/readyz`, `/startupz`, `grpc.health.v1` and the gauge
//! `logkey_ready`. `App` tells it the phase and gives it the checks.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use crate::ports::upgrade::UpgradeProgress;

/// How often the state is evaluated when nobody asks for it, so that health checks over gRPC, the gauges and the
/// log notice a change.
const EVALUATION_INTERVAL: Duration = Duration::from_millis(250);

/// How long a part is impaired before a log line says so. At every start, the issuers' keys are missing for a
/// moment.
const LOG_AFTER: Duration = Duration::from_secs(1);

/// A part of the service that can be impaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The audit log cannot be written, so no call can be served.
    Store,
    /// No issuer's tokens can be verified, so no call can be served.
    Issuers,
    /// The tokens of one issuer cannot be verified.
    Issuer,
    /// The server that replicas share their limits through does not respond.
    Limits,
    /// AWS does not accept the service's own credentials.
    Aws,
}

/// What is wrong with a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impairment {
    /// The impaired component.
    pub component: Component,
    /// What is wrong, for people.
    pub problem: String,
}

/// What the checks found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is impaired. The service is not ready if it is [`Component::blocks_every_call`].
    pub impairments: Vec<Impairment>,
    /// Further lines for people, such as the state of the shared limits.
    pub notes: Vec<String>,
}

/// Finds what is impaired now. It is called often and must not wait.
pub type Checks = dyn Fn() -> Findings + Send + Sync;

/// Whether calls can be served, and what people should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether calls can be served.
    pub ready: bool,
    /// One line for each cause and each impaired component.
    pub lines: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The store is being opened or upgraded.
    Starting,
    Serving,
    /// A stop signal was received.
    Draining,
}

/// The phase of the service and the checks of its parts.
pub struct Readiness {
    state: Mutex<State>,
    checks: OnceLock<Box<Checks>>,
    upgrade: UpgradeProgress,
    ready: watch::Sender<bool>,
}

struct State {
    phase: Phase,
    /// The impaired components of the last evaluation.
    impaired: BTreeMap<Component, Impaired>,
}

#[derive(Clone, Copy)]
struct Impaired {
    since: Instant,
    logged: bool,
}

// === impl Component ===

impl Component {
    /// Every component.
    pub const ALL: [Self; 5] = [Self::Store, Self::Issuers, Self::Issuer, Self::Limits, Self::Aws];

    /// The name in `/readyz`, in metrics and in log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Issuers => "issuers",
            Self::Issuer => "issuer",
            Self::Limits => "limits",
            Self::Aws => "aws",
        }
    }

    /// Whether no call at all can be served while this component is impaired.
    #[must_use]
    pub const fn blocks_every_call(self) -> bool {
        match self {
            Self::Store | Self::Issuers => true,
            Self::Issuer | Self::Limits | Self::Aws => false,
        }
    }
}

// === impl Readiness ===

impl Readiness {
    /// The state of a service that starts.
    #[must_use]
    pub fn starting() -> Arc<Self> {
        let state = State { phase: Phase::Starting, impaired: BTreeMap::new() };
        let this = Self {
            state: Mutex::new(state),
            checks: OnceLock::new(),
            upgrade: UpgradeProgress::default(),
            ready: watch::Sender::new(false),
        };
        this.report();
        Arc::new(this)
    }

    /// Where the store says how far its upgrade is.
    pub fn upgrade(&self) -> UpgradeProgress {
        self.upgrade.clone()
    }

    /// The start is done: from now on, the checks decide.
    pub fn begin_serving(&self, checks: impl Fn() -> Findings + Send + Sync + 'static) {
        // The checks are set once, because a service starts once.
        drop(self.checks.set(Box::new(checks)));
        self.state.lock().phase = Phase::Serving;
        self.report();
    }

    /// A stop signal was received: not ready, whatever the checks find.
    pub fn begin_draining(&self) {
        self.state.lock().phase = Phase::Draining;
        self.report();
    }

    /// Whether the start is done, including the migration of the store.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.state.lock().phase != Phase::Starting
    }

    /// Evaluates the state now, and shows it in the gauges, the log and [`Self::watch`].
    pub fn report(&self) -> Report {
        let Findings { impairments, notes } = self.checks.get().map(|checks| checks()).unwrap_or_default();
        let mut state = self.state.lock();
        let mut lines = Vec::new();
        match state.phase {
            Phase::Starting => lines.push(match self.upgrade.step() {
                Some(step) => format!("starting: the store is being upgraded: {step}"),
                None => "starting: the store is being opened or upgraded".to_owned(),
            }),
            Phase::Serving => {}
            Phase::Draining => lines.push("draining: the service is stopping".to_owned()),
        }
        let blocked = impairments.iter().any(|found| found.component.blocks_every_call());
        let ready = state.phase == Phase::Serving && !blocked;
        lines.extend(impairments.iter().map(ToString::to_string));
        lines.extend(notes);
        state.show_impaired(&impairments);
        gauge!("logkey_ready").set(if ready { 1.0 } else { 0.0 });
        let changed = self.ready.send_if_modified(|before| std::mem::replace(before, ready) != ready);
        if changed && ready {
            tracing::info!("the service is ready");
        } else if changed {
            tracing::warn!(causes = lines.join("; "), "the service is not ready");
        }
        Report { ready, lines }
    }

    /// Whether the service is ready, with a notice of each change.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Evaluates the state as long as the service runs.
    pub async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVALUATION_INTERVAL);
        loop {
            ticks.tick().await;
            self.report();
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("ready", &*self.ready.borrow()).finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    /// Shows the impaired components in the gauges, and logs the beginning and the end.
    fn show_impaired(&mut self, impairments: &[Impairment]) {
        for component in Component::ALL {
            let found = impairments.iter().find(|found| found.component == component);
            let (name, is_impaired) = (component.as_str(), found.is_some());
            gauge!("logkey_impaired", "component" => name).set(if is_impaired { 1.0 } else { 0.0 });
            if component == Component::Store {
                gauge!("logkey_audit_writable").set(if is_impaired { 0.0 } else { 1.0 });
            }
            let Some(found) = found else {
                if self.impaired.remove(&component).is_some_and(|before| before.logged) {
                    tracing::info!(component = name, "a part of the service is no longer impaired");
                }
                continue;
            };
            let entry = Impaired { since: Instant::now(), logged: false };
            let entry = self.impaired.entry(component).or_insert(entry);
            if !entry.logged && entry.since.elapsed() >= LOG_AFTER {
                entry.logged = true;
                tracing::warn!(
                    component = name,
                    problem = found.problem,
                    "a part of the service is impaired"
                );
            }
        }
    }
}

// === impl Impairment ===

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.component.as_str(), self.problem)
    }
}

// === impl Report ===

impl fmt::Display for Report {
    /// The body of `/readyz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ready {
            f.write_str("ok\n")?;
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
