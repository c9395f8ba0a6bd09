//! Signed checkpoints (C2SP tlog-checkpoint as a signed note with Ed25519), and the key that signs them.

mod key;
mod note;

pub(super) use self::note::read_unverified;

pub use self::{
    key::{KeyError, SigningKey, default_key_path},
    note::{CheckpointError, format_after, is_verifier, read},
};

#[cfg(test)]
mod tests;
