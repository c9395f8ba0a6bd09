//! The tables of encryption rules in a database.

use std::sync::Arc;

/// The tables of encryption rules in a database.
#[derive(Debug)]
pub(in crate::store) struct RuleTables<D>(pub(super) Arc<D>);

// === impl RuleTables ===

impl<D> RuleTables<D> {
    pub(in crate::store) fn new(database: Arc<D>) -> Self {
        Self(database)
    }
}
