//! The sessions of all tenants' roles: their cache, one entry of it, its key, and one session.

#[cfg(any(test, feature = "testing"))]
pub(super) mod bench_support;
pub(super) mod cache;
mod entry;
pub(super) mod key;
pub(super) mod session;
