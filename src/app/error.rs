//! Why the service does not start, or ends early.

use std::io;

use thiserror::Error;

use super::{build_snapshot::BuildError, sinks::SinksError};
use crate::{
    audit::{checkpoint::KeyError, sequencer::Corruption},
    limit::redis::InvalidRedisUrl,
    ports::{AuditUnavailable, Unavailable},
    server::{ServeError, TlsError},
    store::OpenError,
};

/// Why the service did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[source] OpenError),
    /// A certificate or its key is invalid.
    #[error("[server.tls] cannot be used")]
    Tls(#[source] TlsError),
    /// Problems of the settings that appear only when the service uses them.
    #[error("the settings cannot be used:\n{}", join_lines(.0))]
    Settings(Vec<String>),
    /// The key that signs the audit log's checkpoints cannot be used.
    #[error("the audit log's checkpoints cannot be signed")]
    Key(#[source] KeyError),
    /// The URL of the server that shares limits between replicas is invalid.
    #[error("limits.backend cannot be used")]
    Limits(#[source] InvalidRedisUrl),
    /// A sink of the audit log cannot be started.
    #[error("the sinks of the audit log cannot be used")]
    Sinks(#[source] SinksError),
    /// The audit log does not match its signed checkpoint.
    #[error("the audit log cannot be continued")]
    Log(#[source] Corruption),
    /// The first event could not be written.
    #[error("the audit log cannot be written")]
    Audit(#[source] AuditUnavailable),
    /// The keys of page tokens could not be read or stored.
    #[error("the keys of page tokens cannot be stored")]
    PageKeys(#[source] Unavailable),
    /// The settings use something that this release does not contain.
    #[error("{0} is not available in this release")]
    Missing(&'static str),
}

/// Why the service ended before its shutdown signal, or not gracefully.
#[derive(Debug, Error)]
pub enum RunError {
    /// The gRPC server failed.
    #[error(transparent)]
    Grpc(ServeError),
    /// The HTTP server of the admin port failed.
    #[error("the admin port failed")]
    Admin(#[source] io::Error),
}

// === impl StartError ===

impl From<BuildError> for StartError {
    fn from(error: BuildError) -> Self {
        Self::Settings(error.0)
    }
}

fn join_lines(diagnostics: &[String]) -> String {
    diagnostics.join("\n")
}
