//! Reloads changed settings while the service runs. It builds a new snapshot in the background and swaps it
//! as a whole. If the settings have a problem, the current snapshot stays. `watch` calls it.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    background::{drop_in_background, run_in_background},
    build_snapshot, maintenance,
    signing_key::signing_key,
    snapshot::{Snapshot, SnapshotHolder},
};
use crate::{
    audit::{Journal, checkpoint::SigningKey, rotation, sequencer::KeyChange},
    aws::Aws,
    config::{Diagnostic, Settings, join_diagnostics},
    domain::{audit::AuditOperation, error_chain::error_chain, plural::plural, reason::Reason},
    limit::LocalUpstreamLimiter,
    otlp::Exporter,
    ports::{AuditUnavailable, Clock, page_keys::PageKeyStore},
    server::Tls,
    service::PageTokens,
};

/// How long a reload waits until it is recorded.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// Reloads tenants, policies, issuers, AWS's quotas, certificates, the collector of traces and the key that signs
/// the log. Other settings need a restart.
#[derive(Clone)]
pub struct Reloader {
    pub(super) current: Arc<SnapshotHolder>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) exporter: Option<Arc<Exporter>>,
    pub(super) aws: Option<Arc<Aws>>,
    pub(super) limiter: Arc<LocalUpstreamLimiter>,
    pub(super) journal: Arc<Journal>,
    pub(super) keys: KeyChange,
    pub(super) page_tokens: Arc<PageTokens>,
    pub(super) page_keys: Arc<dyn PageKeyStore>,
    pub(super) clock: Arc<dyn Clock>,
}

// === impl Reloader ===

impl Reloader {
    /// Also reloads the settings of the exporter of traces.
    #[must_use]
    pub fn with_exporter(self, exporter: Option<Arc<Exporter>>) -> Self {
        Self { exporter, ..self }
    }

    /// Activates `settings`, or logs and records why it cannot.
    pub async fn reload(&self, settings: Result<Settings, Vec<Diagnostic>>) {
        let result = match settings {
            Ok(settings) => self.reload_all(settings).await,
            Err(diagnostics) => Err(join_diagnostics(&diagnostics)),
        };
        let (failure, detail) = match result {
            Ok(summary) => {
                tracing::info!("{summary}");
                (None, summary)
            }
            Err(diagnostics) => {
                tracing::error!(
                    %diagnostics,
                    "the settings were not reloaded; the service keeps the current snapshot"
                );
                (Some(Reason::FieldInvalid), diagnostics)
            }
        };
        let outcome = if failure.is_none() { "taken" } else { "refused" };
        metrics::counter!("logkey_reloads_total", "outcome" => outcome).increment(1);
        metrics::gauge!("logkey_settings_refused").set(if failure.is_none() { 0.0 } else { 1.0 });
        self.record(failure, detail.into()).await;
    }

    /// Records the reload. It does not wait longer than [`RECORD_TIMEOUT`] for the store, because the next
    /// reload may be the one that suspends a tenant.
    async fn record(&self, failure: Option<Reason>, detail: Box<str>) {
        let (journal, clock) = (Arc::clone(&self.journal), Arc::clone(&self.clock));
        let recording = tokio::spawn(async move {
            let recorded =
                maintenance::record(&*journal, &*clock, AuditOperation::Reload, failure, Some(detail)).await;
            if let Err(error) = recorded {
                tracing::error!(error = &error as &dyn std::error::Error, "the reload could not be recorded");
            }
        });
        if timeout(RECORD_TIMEOUT, recording).await.is_err() {
            tracing::error!("the store does not respond: the reload is not recorded yet");
        }
    }

    async fn reload_all(&self, settings: Settings) -> Result<String, String> {
        let this = self.clone();
        let activated = run_in_background(move || {
            // Read the key before anything is activated, so that an invalid key changes nothing.
            let key = signing_key(&settings, false).map_err(|error| error_chain(&error))?;
            this.activate(settings).map(|activated| (activated, key))
        });
        let activated = activated.await.unwrap_or_else(|| Err("activating the settings panicked".to_owned()));
        let ((summary, previous), key) = activated?;
        tokio::spawn(drop_in_background(previous, build_snapshot::drop_incrementally));
        Ok(summary + &self.install_key(key).await?)
    }

    /// Makes the key of the key file sign the log, if the file changed.
    async fn install_key(&self, key: SigningKey) -> Result<String, String> {
        let previous_keys = self.keys.verifiers();
        if key.verifiers() == previous_keys {
            return Ok(String::new());
        }
        let (secrets, now) = (key.page_token_secrets(), self.clock.now());
        let installed = timeout(RECORD_TIMEOUT, self.page_tokens.install(&*self.page_keys, &secrets, now));
        let installed = installed.await.map_err(|_elapsed| "the store does not respond".to_owned());
        installed
            .and_then(|installed| installed.map_err(|error| error_chain(&error)))
            .map_err(|error| format!("the keys of page tokens cannot be stored: {error}"))?;
        if let Some(rotation) = self.keys.rotation(&key) {
            let recorded = timeout(RECORD_TIMEOUT, rotation::record(&*self.journal, &*self.clock, &rotation));
            let recorded = recorded.await.unwrap_or(Err(AuditUnavailable(None)));
            recorded.map_err(|error| {
                format!("the new signing key cannot be recorded in the log: {}", error_chain(&error))
            })?;
        }
        let signers = key.verifiers().join(" and ");
        self.keys.use_key(key).await;
        Ok(format!("; checkpoints are signed by {signers}"))
    }

    /// Replaces the current snapshot. Returns a summary and the previous snapshot.
    fn activate(&self, settings: Settings) -> Result<(String, Arc<Snapshot>), String> {
        let previous = self.current.load();
        let Settings { auth, tenants, policy, limits, telemetry, .. } = settings;
        let tenants = Arc::new(tenants);
        let next =
            build_snapshot::rebuild(auth, Arc::clone(&tenants), &policy, &previous, Arc::clone(&self.clock))
                .map_err(|diagnostics| diagnostics.0.join("\n"))?;
        let collector = match (&self.exporter, telemetry.otlp) {
            (Some(exporter), Some(config)) => Some(
                exporter
                    .prepare(config)
                    .map_err(|error| format!("[telemetry.otlp] cannot be used: {}", error_chain(&error)))?,
            ),
            (None, _) | (_, None) => None,
        };
        // The last step that can fail.
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| error.to_string())?;
        }
        if let (Some(exporter), Some(client)) = (&self.exporter, collector) {
            exporter.replace(client);
        }
        self.current.replace(next);
        self.limiter.set_upstream(limits.shared.upstream);
        if let Some(aws) = &self.aws {
            aws.retain_sessions(&tenants);
        }
        Ok((format!("the settings were reloaded: {}", plural(tenants.len(), "tenant")), previous))
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}
