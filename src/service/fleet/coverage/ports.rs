//! The ports of coverage.

use std::{fmt, sync::Arc};

use crate::ports::{coverage::CoverageStore, rules::RuleStore};

/// The ports of reads of coverage, in addition to [`Dependencies`](crate::service::Dependencies).
#[derive(Clone)]
pub struct CoveragePorts {
    /// Reads coverage.
    pub store: Arc<dyn CoverageStore>,
    /// Finds rules.
    pub rules: Arc<dyn RuleStore>,
}

/// Reads coverage on behalf of tenants and operators.
#[derive(Clone)]
pub struct CoverageQueries {
    pub(super) ports: CoveragePorts,
}

// === impl CoverageQueries ===

impl CoverageQueries {
    /// Creates the queries over these ports.
    #[must_use]
    pub fn new(ports: CoveragePorts) -> Self {
        Self { ports }
    }
}

impl fmt::Debug for CoverageQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoverageQueries").finish_non_exhaustive()
    }
}

impl fmt::Debug for CoveragePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CoveragePorts")
    }
}
