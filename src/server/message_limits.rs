//! The longest request messages, in bytes after decompression.

/// The longest message of most methods.
pub(super) const MAX_MESSAGE: usize = 1024 * 1024;
/// The same for requests that name up to 5,000 resources by their ARN.
pub(super) const MAX_BULK_MESSAGE: usize = 4 * MAX_MESSAGE;
