//! Takes over changed settings while the service runs: built aside, swapped whole, a fault keeps what
//! was in force.

use std::sync::Arc;

use super::{App, current::Current, generation, lifecycle, told};
use crate::{
    audit::Journal,
    aws::Aws,
    config::{Fault, Settings},
    domain::{audit::Act, reason::Reason},
    limit::LocalPace,
    ports::Clock,
    server::tls::Tls,
};

/// Takes over tenants, policies, issuers, quotas and certificates. Other settings need a restart.
#[derive(Clone)]
pub struct Reloader {
    current: Arc<Current>,
    tls: Option<Arc<Tls>>,
    aws: Option<Arc<Aws>>,
    pace: Arc<LocalPace>,
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(app: &App) -> Self {
        Self {
            current: Arc::clone(&app.current),
            tls: app.tls.clone(),
            aws: app.aws.clone(),
            pace: Arc::clone(&app.pace),
            journal: Arc::clone(&app.journal),
            clock: Arc::clone(&app.clock),
        }
    }

    /// Puts `settings` in force, or tells why not.
    pub async fn reload(&self, settings: Result<Settings, Vec<Fault>>) {
        let done = settings.map_err(|faults| told(&faults)).and_then(|settings| self.take_over(&settings));
        let (failure, detail) = match done {
            Ok(told) => {
                tracing::info!("{told}");
                (None, told)
            }
            Err(faults) => {
                tracing::error!(%faults, "the settings were not taken over; what was in force stays so");
                (Some(Reason::FieldInvalid), faults)
            }
        };
        let outcome = if failure.is_none() { "taken" } else { "refused" };
        metrics::counter!("logkey_reloads_total", "outcome" => outcome).increment(1);
        let recorded =
            lifecycle::record(&*self.journal, &*self.clock, Act::Reload, failure, Some(detail.into())).await;
        if let Err(error) = recorded {
            tracing::error!(error = &error as &dyn std::error::Error, "the reload is not recorded");
        }
    }

    fn take_over(&self, settings: &Settings) -> Result<String, String> {
        let before = self.current.load();
        let next = generation::next(settings, &before, Arc::clone(&self.clock))
            .map_err(|faults| faults.0.join("\n"))?;
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| error.to_string())?;
        }
        self.current.replace(next);
        self.pace.set_upstream(settings.limits.shared.upstream.clone());
        if let Some(aws) = &self.aws {
            aws.retain_sessions(&settings.tenants);
        }
        Ok(format!("the settings were taken over: {} tenants", settings.tenants.len()))
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}
