//! Adds events to the tree and signs a checkpoint over them, at most a second later and outside the calls.
//! One task of one process does this; other processes follow what it signs. It never continues a log that
//! does not match its last checkpoint.

mod corruption;
mod handle;
mod rotation;
mod state;

pub use self::{
    corruption::Corruption,
    handle::{KeyChange, Sequencer, VerifiedSequencer},
    rotation::Rotation,
};

#[cfg(test)]
mod tests;
