//! A job that this process works on, with its state as the dispatcher last read it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    domain::{
        association::Justification,
        call::{Action, Call, CallSummary, RequestId},
        fleet::{BulkChange, ItemKey, Job, JobState},
        principal::Principal,
    },
    service::{
        context::Context,
        shared::{job_gate::JobGate, lease::Lease, upstream::now},
        state::ServiceState,
    },
};

/// A job that this process works on.
pub(super) struct JobRun {
    pub(super) job: Job,
    pub(super) reason: Option<Justification>,
    principal: Arc<Principal>,
    state: watch::Sender<JobState>,
}

// === impl JobRun ===

impl JobRun {
    pub(super) fn new(job: Job) -> Self {
        let principal = Arc::new(job.creator.to_principal());
        let reason = job.spec.reason.as_deref().and_then(|reason| reason.parse().ok());
        let (state, _) = watch::channel(job.status.state);
        Self { job, reason, principal, state }
    }

    /// The state of the job, as far as this process knows.
    pub(super) fn state(&self) -> JobState {
        *self.state.borrow()
    }

    pub(super) fn set_state(&self, new: JobState) {
        self.state.send_if_modified(|state| std::mem::replace(state, new) != new);
    }

    /// Waits until the job no longer runs, at most so long.
    pub(super) async fn wait_while_running(&self, time: Duration) {
        let mut changes = self.state.subscribe();
        let stopped = changes.wait_for(|state| *state != JobState::Running);
        let _elapsed = tokio::time::timeout(time, stopped).await;
    }

    /// The RPC that the job's changes and reads stand for in the audit log.
    pub(super) fn action(&self) -> Action {
        match self.job.spec.change {
            BulkChange::SetKey(_) | BulkChange::Revert => Action::AssociateKmsKey,
            BulkChange::RemoveKey => Action::DisassociateKmsKey,
        }
    }
}

/// The parts of a context that all calls of a job share.
pub(super) struct CallParts<'e> {
    pub(super) state: &'e Arc<ServiceState>,
    pub(super) lease: &'e Arc<Lease>,
    pub(super) timeout: Duration,
}

// === impl CallParts ===

impl CallParts<'_> {
    /// The context of one call of the job.
    pub(super) fn context(&self, run: &JobRun, action: Action, request_id: RequestId) -> Context {
        let received: Instant = now();
        let call = Call {
            request_id,
            action,
            source: None,
            unverified_user_agent: None,
            summary: CallSummary::default(),
            received,
            deadline: received + self.timeout,
        };
        let cx = Context::current(self.state, Arc::new(call), Arc::clone(&run.principal));
        cx.of_job(run.job.id, Arc::clone(self.lease))
    }

    /// Whether the job may send a change.
    pub(super) fn gate(&self, run: &JobRun) -> JobGate {
        let clock = Arc::clone(&self.state.ports.clock);
        JobGate { state: run.state.subscribe(), safety: run.job.spec.safety, clock }
    }
}

/// The request id of an attempt to change an item. After a crash, the audit log is searched for it.
pub(super) fn request_id(key: ItemKey, attempt: u32) -> RequestId {
    let text = format!("bulk-{}-{}-{}-{attempt}", key.job.as_simple(), key.location, key.seq);
    // The text has at most 64 of the permitted characters: a UUID and three numbers below 2^20 or so.
    text.parse().unwrap_or_else(|_too_long| RequestId::new_v7())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fleet::JobId;

    #[test]
    fn the_request_id_of_the_largest_job_is_valid() {
        let key = ItemKey { job: JobId::new_v7(), location: 99_999, seq: 9_999_999 };
        let id = request_id(key, 999);
        assert!(id.as_str().starts_with("bulk-"), "{id}");
        assert_ne!(id, request_id(key, 998));
    }
}
