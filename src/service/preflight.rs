//! Checks before a change, and explanations after a refusal.

mod access_test;
pub(super) mod check;
pub(super) mod explain;
mod optional_permissions;
pub(super) mod role_check;

pub use self::{access_test::test_access, check::check};
