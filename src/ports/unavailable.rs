//! The error of every port whose dependency may not respond.

use thiserror::Error;

/// A dependency did not respond, or responded with an error.
#[derive(Debug, Error)]
#[error("{dependency} unavailable")]
pub struct Unavailable {
    /// The name of the dependency, for logs and metrics.
    pub dependency: &'static str,
    /// The error of the dependency, if there was one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}
