//! The bucket of the audit log's archive: its URL, and its files.

pub(super) mod bucket;
pub(super) mod location;
