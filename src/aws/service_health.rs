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
pub(super) struct ServiceHealth(Mutex<State>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// AWS has not seen the credentials yet.
    #[default]
    Unknown,
    /// AWS accepts the credentials.
    Accepted,
    Faulty(ServiceFault),
}

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
        self.replace(State::Accepted);
    }

    /// The source of credentials works again. Whether AWS accepts them is not known.
    pub(super) fn provided(&self) {
        let fault = self.fault();
        if matches!(fault, Some(ServiceFault::CredentialsMissing | ServiceFault::CredentialsUnavailable)) {
            self.replace(State::Unknown);
        }
    }

    /// A call showed this fault, by AWS's error or the error of the source of credentials. Logs a fault that
    /// concerns every role when it begins. The caller logs the others, with the role.
    pub(super) fn report(
        &self,
        fault: ServiceFault,
        answer: Option<&AwsErrorDetails>,
        source: Option<&(dyn Error + 'static)>,
    ) {
        count(fault);
        if !fault.concerns_every_role() || self.replace(State::Faulty(fault)) == State::Faulty(fault) {
            return;
        }
        show(false);
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
        let fault = self.fault()?;
        Some(format!("{fault} ({}): {}", fault.as_str(), fault.remedy()))
    }

    /// Whether AWS accepted the credentials the last time.
    pub(super) fn is_accepted(&self) -> bool {
        *self.0.lock() == State::Accepted
    }

    fn fault(&self) -> Option<ServiceFault> {
        match *self.0.lock() {
            State::Faulty(fault) => Some(fault),
            State::Unknown | State::Accepted => None,
        }
    }

    /// Replaces the state, and returns the former one. Logs the end of a fault.
    fn replace(&self, state: State) -> State {
        let before = std::mem::replace(&mut *self.0.lock(), state);
        if let (State::Faulty(fault), State::Unknown | State::Accepted) = (before, state) {
            tracing::info!(cause = fault.as_str(), "the fault of this service's own access to AWS has ended");
            show(true);
        }
        before
    }
}

/// Counts a call that failed because of this fault.
pub(super) fn count(fault: ServiceFault) {
    counter!("logkey_service_faults_total", "cause" => fault.as_str()).increment(1);
}

fn show(usable: bool) {
    gauge!("logkey_service_credentials_usable").set(if usable { 1.0 } else { 0.0 });
}
