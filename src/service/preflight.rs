//! Preflight: checks before a change. The same checks explain a refusal after one.

mod access_test;
pub(super) mod check;
pub(super) mod explain;
mod optional_permissions;
pub(super) mod role_check;

pub use self::{access_test::test_access, check::check};
