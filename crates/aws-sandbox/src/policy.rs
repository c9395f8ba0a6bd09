//! The part of IAM's policy language that the embedded AWS supports. An unsupported element is rejected when the
//! policy is parsed, never ignored during evaluation.

mod condition;
mod document;
pub(crate) mod error;
pub(crate) mod evaluation;
pub(crate) mod shorthand;
#[cfg(test)]
mod tests;
