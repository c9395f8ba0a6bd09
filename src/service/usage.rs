//! Where a key is in use, and where it still protects data.

mod coverage;
mod key_usage;
mod scan;
pub(super) mod scan_registry;
mod visibility;

pub use self::key_usage::{Usage, Verdict, usage};
