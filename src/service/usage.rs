//! Where a key is set, and where it still protects data (`GetKeyUsage`).

mod coverage;
mod key_usage;
mod scan;
pub(super) mod scan_registry;
mod visibility;

pub use self::key_usage::{Usage, Verdict, usage};
