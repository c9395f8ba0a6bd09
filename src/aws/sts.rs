//! STS: the port that assumes a role, its errors, and the client that implements it.

pub(super) mod assume_role;
pub(super) mod client;
pub(super) mod refusal;
pub(super) mod session_error;
