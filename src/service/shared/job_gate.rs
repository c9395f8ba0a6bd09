//! Whether a bulk job may send changes now. A change that waits for its permit is held back when the job stops.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    domain::fleet::{JobState, Refused, Safety},
    ports::Clock,
};

/// The state of a job and its time window, for one of its changes.
pub(in crate::service) struct JobGate {
    pub(in crate::service) state: watch::Receiver<JobState>,
    pub(in crate::service) safety: Safety,
    pub(in crate::service) clock: Arc<dyn Clock>,
}

// === impl JobGate ===

impl JobGate {
    /// Fails unless the job runs and its time window is open.
    pub(in crate::service) fn check(&self) -> Result<(), Refused> {
        let state = *self.state.borrow();
        if state != JobState::Running {
            return Err(stopped(state));
        }
        if self.safety.window_contains(self.clock.now()) {
            Ok(())
        } else {
            let advice = "its time window is closed, so the change was not sent";
            Err(Refused { state, advice })
        }
    }

    /// Waits until the job does not run.
    pub(in crate::service) async fn closed(&self) -> Refused {
        let mut changes = self.state.clone();
        let state = changes.wait_for(|state| *state != JobState::Running).await.map(|state| *state);
        match state {
            Ok(state) => stopped(state),
            // The engine is gone, so nobody stops the job any more.
            Err(_engine_is_gone) => std::future::pending().await,
        }
    }
}

fn stopped(state: JobState) -> Refused {
    Refused { state, advice: "the change was not sent; it follows if the job continues" }
}
