//! Checks what an event says about a former log whose key was lost. The former key cannot confirm it, so the
//! report always names such an event.

use super::{
    pass::Verifier,
    report::{Finding, FormerLog},
};
use crate::audit::{parsed_event::RestartedEvent, proof::Statement};

impl Verifier<'_> {
    /// Reports the former log. Only the first event of a log can name one, and the log's key must have signed
    /// that.
    pub(super) fn check_restart(&mut self, seq: u64, restarted: RestartedEvent) {
        let RestartedEvent { size, root, proof } = restarted;
        let statement = Statement::Restart { size, root: &root };
        let (origin, keys) = (self.against.origin, &self.verifiers);
        let is_by = |key: &String, proof: &str| statement.verify(proof, origin, &[key]).is_some();
        let is_proved = proof.is_some_and(|proof| keys.iter().any(|key| is_by(key, &proof)));
        if seq == 1 && is_proved {
            self.report.former = Some(FormerLog { size, root });
        } else {
            self.add_finding(Finding::Unproved { seq, what: "that this log follows a former one" });
        }
    }
}
