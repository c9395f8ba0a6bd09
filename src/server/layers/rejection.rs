//! Records in the audit log the calls that a layer rejects.

use std::{fmt, sync::Arc};

use crate::{
    domain::{
        audit::{Completion, Event, Kind},
        call::Call,
        principal::Principal,
        reason::Reason,
    },
    ports::{AuditLog, Clock},
    server::grpc::status::EdgeRefusal,
};

/// Records rejected calls. It does not wait for the store; the audit log combines many equal rejections.
#[derive(Clone)]
pub(super) struct RejectionLog {
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) clock: Arc<dyn Clock>,
}

// === impl RejectionLog ===

impl RejectionLog {
    /// Records a rejection of a caller; `None` if the caller is not authenticated.
    pub(super) fn record(&self, call: &Call, principal: Option<&Principal>, reason: Reason) {
        self.audit.record_best_effort(self.event(call, principal, reason));
    }

    /// Records why the token of a call was rejected, with the id of the token.
    pub(super) fn record_token(&self, call: &Call, refusal: &EdgeRefusal) {
        let mut event = self.event(call, None, refusal.reason());
        (event.actor.token_id, event.detail) = match refusal {
            EdgeRefusal::Token { reason, token_id } => (token_id.clone(), Some((*reason).into())),
            EdgeRefusal::TokenExpired { token_id } => (Some(Arc::clone(token_id)), None),
            EdgeRefusal::TokenMissing
            | EdgeRefusal::IssuerUnavailable { .. }
            | EdgeRefusal::AssertedUser(_)
            | EdgeRefusal::Overloaded { .. }
            | EdgeRefusal::Quota(_)
            | EdgeRefusal::Body { .. } => (None, None),
        };
        self.audit.record_best_effort(event);
    }

    fn event(&self, call: &Call, principal: Option<&Principal>, reason: Reason) -> Event {
        let mut event = Event::for_call(call, principal, Kind::Refusal, self.clock.now());
        event.end =
            Some(Completion { failure: Some(reason), aws_error: None, latency: call.received.elapsed() });
        event
    }
}

impl fmt::Debug for RejectionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectionLog").finish_non_exhaustive()
    }
}
