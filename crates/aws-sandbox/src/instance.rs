//! One running embedded AWS: its state, the active faults and the recorded calls. The HTTP server, the control
//! API and the Rust API share it.

use crate::{
    call_log::CallLog,
    clock::Clock,
    fault::active::Faults,
    seed::{apply::apply, contents::Seed, error::SeedErrors},
    state::aws::AwsState,
};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) state: AwsState,
    pub(crate) faults: Faults,
    pub(crate) journal: CallLog,
    pub(crate) verify_signatures: bool,
}

// === impl Instance ===

impl Instance {
    /// An instance with the contents of `seed`.
    pub(crate) fn new(seed: &Seed, clock: Clock) -> Result<Self, SeedErrors> {
        let instance = Self {
            state: AwsState::new(clock),
            faults: Faults::default(),
            journal: CallLog::new(seed.journal.limit),
            verify_signatures: seed.verify_signatures.unwrap_or(true),
        };
        instance.apply(seed)?;
        Ok(instance)
    }

    /// Adds the contents of `seed`, or nothing if it has errors.
    pub(crate) fn apply(&self, seed: &Seed) -> Result<(), SeedErrors> {
        apply(&self.state, seed)?;
        for fault in &seed.faults {
            self.faults.add(fault.clone());
        }
        Ok(())
    }
}
