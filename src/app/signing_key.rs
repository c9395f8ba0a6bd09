//! Finds the key that signs the audit log's checkpoints.

use std::path::Path;

use crate::{
    audit::checkpoint::{self, KeyError, SigningKey},
    config::Settings,
};

/// The key that signs checkpoints: the configured one, or one next to the store. `create` creates it if it does
/// not exist; only a log without checkpoints may get a new key.
pub(super) fn signing_key(settings: &Settings, create: bool) -> Result<SigningKey, KeyError> {
    let origin = &settings.audit.checkpoint_origin;
    match (&settings.audit.checkpoint_key_file, settings.store.config.file()) {
        (Some(path), _) => SigningKey::open(path, origin),
        (None, Some(file)) if create => {
            SigningKey::open_or_create(&checkpoint::default_key_path(&file), origin)
        }
        (None, Some(file)) => SigningKey::open_used(&checkpoint::default_key_path(&file), origin),
        (None, None) => SigningKey::open(Path::new("checkpoint_key_file"), origin),
    }
}
