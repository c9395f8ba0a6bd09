//! The errors in the text of a policy.

use thiserror::Error;

/// An error in the text of a policy.
#[derive(Debug, Error)]
pub enum InvalidPolicy {
    /// The text is not JSON, or does not have the structure of a policy.
    #[error("not a policy document")]
    Shape(#[source] serde_json::Error),
    /// A condition operator that the sandbox does not support.
    #[error("the sandbox does not support the condition operator `{0}`")]
    Operator(String),
    /// A statement that has both or neither of a pair such as `Action` and `NotAction`.
    #[error("a statement needs exactly one of {0}")]
    Pair(&'static str),
}
