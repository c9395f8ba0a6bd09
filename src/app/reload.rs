//! Takes over changed settings while the service runs: built aside, swapped whole, a fault keeps what
//! was in force.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    App,
    background::{drop_in_background, run_in_background},
    build_snapshot, join_faults, maintenance, signing_key,
    snapshot::{Snapshot, SnapshotHolder},
};
use crate::{
    audit::{
        Journal,
        checkpoint::SigningKey,
        rotation,
        sequencer::{KeyChange, Rotation},
    },
    aws::Aws,
    config::{Diagnostic, Settings},
    domain::{audit::AuditOperation, error_chain::error_chain, reason::Reason},
    limit::LocalUpstreamLimiter,
    ports::{AuditUnavailable, Clock},
    server::tls::Tls,
};

/// How long a reload waits for its record.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// Takes over tenants, policies, issuers, quotas, certificates and the key that signs the log. Other settings need a restart.
#[derive(Clone)]
pub struct Reloader {
    current: Arc<SnapshotHolder>,
    tls: Option<Arc<Tls>>,
    aws: Option<Arc<Aws>>,
    limiter: Arc<LocalUpstreamLimiter>,
    journal: Arc<Journal>,
    keys: KeyChange,
    clock: Arc<dyn Clock>,
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(app: &App) -> Self {
        Self {
            current: Arc::clone(&app.current),
            tls: app.tls.clone(),
            aws: app.aws.clone(),
            limiter: Arc::clone(&app.limiter),
            journal: Arc::clone(&app.journal),
            keys: app.sequencer.key_change(),
            clock: Arc::clone(&app.clock),
        }
    }

    /// Puts `settings` in force, or tells why not.
    pub async fn reload(&self, settings: Result<Settings, Vec<Diagnostic>>) {
        let done = match settings {
            Ok(settings) => self.reload_all(settings).await,
            Err(diagnostics) => Err(join_faults(&diagnostics)),
        };
        let (failure, detail) = match done {
            Ok(summary) => {
                tracing::info!("{summary}");
                (None, summary)
            }
            Err(diagnostics) => {
                tracing::error!(%diagnostics, "the settings were not taken over; what was in force stays so");
                (Some(Reason::FieldInvalid), diagnostics)
            }
        };
        let outcome = if failure.is_none() { "taken" } else { "refused" };
        metrics::counter!("logkey_reloads_total", "outcome" => outcome).increment(1);
        self.record(failure, detail.into()).await;
    }

    /// Records it, and waits for that, though not for a store that does not answer: the next reload may be
    /// the one that suspends a tenant.
    async fn record(&self, failure: Option<Reason>, detail: Box<str>) {
        let (journal, clock) = (Arc::clone(&self.journal), Arc::clone(&self.clock));
        let recording = tokio::spawn(async move {
            let recorded =
                maintenance::record(&*journal, &*clock, AuditOperation::Reload, failure, Some(detail)).await;
            if let Err(error) = recorded {
                tracing::error!(error = &error as &dyn std::error::Error, "the reload is not recorded");
            }
        });
        if timeout(RECORDED_WITHIN, recording).await.is_err() {
            tracing::error!("the store does not answer: the reload is not recorded yet");
        }
    }

    async fn reload_all(&self, settings: Settings) -> Result<String, String> {
        let this = self.clone();
        let taken = run_in_background(move || {
            // Read before anything is taken over: a key that cannot be used changes nothing.
            let key = signing_key(&settings, false).map_err(|error| error_chain(&error))?;
            this.activate(settings).map(|(summary, previous)| (summary, previous, key))
        });
        let taken = taken.await.unwrap_or_else(|| Err("putting them in force panicked".to_owned()));
        let (summary, previous, key) = taken?;
        tokio::spawn(drop_in_background(previous, build_snapshot::drop_incrementally));
        Ok(summary + &self.install_key(key).await?)
    }

    /// Has the log signed by the key in its file, where that is another than before.
    async fn install_key(&self, key: SigningKey) -> Result<String, String> {
        let previous_keys = self.keys.verifiers();
        if key.verifiers() == previous_keys {
            return Ok(String::new());
        }
        if let Some(from) = previous_keys.into_iter().next().filter(|from| from != key.verifier()) {
            let rotation = Rotation { from, to: key.verifier().to_owned() };
            let recorded =
                timeout(RECORDED_WITHIN, rotation::record(&*self.journal, &*self.clock, &rotation));
            let recorded = recorded.await.unwrap_or(Err(AuditUnavailable(None)));
            recorded.map_err(|error| {
                format!("the new key cannot be named in the log: {}", error_chain(&error))
            })?;
        }
        let signers = key.verifiers().join(" and ");
        self.keys.use_key(key).await;
        Ok(format!("; checkpoints are signed by {signers}"))
    }

    /// What to tell, and what was in force before.
    fn activate(&self, settings: Settings) -> Result<(String, Arc<Snapshot>), String> {
        let previous = self.current.load();
        let Settings { auth, tenants, policy, limits, .. } = settings;
        let tenants = Arc::new(tenants);
        let next =
            build_snapshot::rebuild(auth, Arc::clone(&tenants), &policy, &previous, Arc::clone(&self.clock))
                .map_err(|diagnostics| diagnostics.0.join("\n"))?;
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| error.to_string())?;
        }
        self.current.replace(next);
        self.limiter.set_upstream(limits.shared.upstream);
        if let Some(aws) = &self.aws {
            aws.retain_sessions(&tenants);
        }
        Ok((format!("the settings were taken over: {} tenants", tenants.len()), previous))
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}
