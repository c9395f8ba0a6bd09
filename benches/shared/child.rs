//! A child process of a bench or a test. It ends with the value that owns it.

use std::{
    ops::{Deref, DerefMut},
    process::Child,
};

/// A process that is killed on drop, also if a test fails.
#[derive(Debug)]
pub(crate) struct KillOnDrop(pub(crate) Child);

// === impl KillOnDrop ===

impl Deref for KillOnDrop {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for KillOnDrop {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
