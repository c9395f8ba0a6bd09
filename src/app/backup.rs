//! Backups of a SQLite store: its files, how a running service is backed up, and how a backup is restored.
//! `logkey backup` and `logkey restore` call it.

mod create;
mod error;
mod files;
mod manifest;
mod restore;

pub use self::{
    create::{BackupSource, back_up},
    error::BackupError,
    manifest::Manifest,
    restore::{RestoreTarget, restore},
};
