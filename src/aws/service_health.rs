//! Whether AWS serves this service itself: what the last responses to its own credentials showed. Calls report
//! here, and `/readyz`, a gauge and the log show it.

use std::error::Error;

use metrics::{counter, gauge};
use parking_lot::Mutex;

use crate::{
    domain::{error_chain::error_chain, refusal::ServiceFault},
    ports::aws::AwsErrorDetails,
};

/// The last known state of the service's own access to AWS.
#[derive(Debug, Default)]
pub(super) struct ServiceHealth(Mutex<Option<ServiceFault>>);

// === impl ServiceHealth ===

impl ServiceHealth {
    /// Registers the metrics, so that their series exist before the first fault.
    pub(super) fn new() -> Self {
        for fault in ServiceFault::ALL {
            counter!("logkey_service_faults_total", "cause" => fault.as_str()).absolute(0);
        }
        show(true);
        Self::default()
    }

    /// STS accepted the service's own credentials.
    pub(super) fn accepted(&self) {
        if let Some(fault) = self.0.lock().take() {
            tracing::info!(cause = fault.as_str(), "AWS accepts this service's own credentials again");
            show(true);
        }
    }

    /// A call showed this fault, by AWS's error or the error of the source of credentials. Logs a fault that
    /// concerns every role once, and others each time.
    pub(super) fn report(
        &self,
        fault: ServiceFault,
        answer: Option<&AwsErrorDetails>,
        source: Option<&(dyn Error + 'static)>,
    ) {
        counter!("logkey_service_faults_total", "cause" => fault.as_str()).increment(1);
        if fault.concerns_every_role() {
            if self.0.lock().replace(fault) == Some(fault) {
                return;
            }
            show(false);
        }
        tracing::error!(
            cause = fault.as_str(),
            remedy = fault.remedy(),
            aws.code = answer.map(|answer| &*answer.code),
            aws.message = answer.map(|answer| &*answer.message),
            error = source.map(error_chain),
            "{fault}",
        );
    }

    /// What is wrong and what the operator should do. `None` if nothing is known to be wrong.
    pub(super) fn problem(&self) -> Option<String> {
        let fault = (*self.0.lock())?;
        Some(format!("{fault} ({}): {}", fault.as_str(), fault.remedy()))
    }
}

fn show(usable: bool) {
    gauge!("logkey_service_credentials_usable").set(if usable { 1.0 } else { 0.0 });
}
