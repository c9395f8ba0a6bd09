//! The tables of coverage in a database, behind their port.

use std::sync::Arc;

use async_trait::async_trait;

use super::{read, record};
use crate::{
    domain::{association::Location, fleet::LocationCoverage, tenant::TenantId, time::Timestamp},
    ports::{
        Unavailable,
        coverage::{
            CountedRules, CoverageFilter, CoverageStore, CoverageTotals, DailyCoverage, EvaluatedLocation,
            FindingChanges, FindingFilter, FindingWindow, LocationCount, ResourceFindings, StoredFinding,
            TenantLocation,
        },
    },
    store::transaction::Transactions,
};

/// The tables of coverage in a database.
#[derive(Debug)]
pub(in crate::store) struct CoverageTables<D>(Arc<D>);

// === impl CoverageTables ===

impl<D> CoverageTables<D> {
    pub(in crate::store) fn new(database: Arc<D>) -> Self {
        Self(database)
    }
}

#[async_trait]
impl<D: Transactions + Send + Sync + 'static> CoverageStore for CoverageTables<D> {
    async fn record(&self, found: &LocationCoverage) -> Result<FindingChanges, Unavailable> {
        record::record(&*self.0, found).await
    }

    async fn record_resource(&self, found: &ResourceFindings) -> Result<FindingChanges, Unavailable> {
        record::record_resource(&*self.0, found).await
    }

    async fn delete_rule(&self, tenant: &TenantId, rule: &str) -> Result<FindingChanges, Unavailable> {
        record::delete_rule(&*self.0, tenant, rule).await
    }

    async fn retain(&self, existing: &[TenantLocation]) -> Result<FindingChanges, Unavailable> {
        record::retain(&*self.0, existing).await
    }

    async fn delete_history(&self, before: Timestamp) -> Result<(), Unavailable> {
        record::delete_history(&*self.0, before).await
    }

    async fn locations(&self, filter: &CoverageFilter) -> Result<Vec<EvaluatedLocation>, Unavailable> {
        read::locations(&*self.0, filter).await
    }

    async fn counts(
        &self,
        filter: &CoverageFilter,
        rules: CountedRules<'_>,
        by_key: bool,
    ) -> Result<Vec<LocationCount>, Unavailable> {
        read::counts(&*self.0, filter, rules, by_key).await
    }

    async fn findings(
        &self,
        filter: &FindingFilter,
        window: &FindingWindow,
    ) -> Result<Vec<StoredFinding>, Unavailable> {
        read::findings(&*self.0, filter, window).await
    }

    async fn history(
        &self,
        tenant: Option<&TenantId>,
        locations: Option<&[Location]>,
        from: Timestamp,
    ) -> Result<Vec<DailyCoverage>, Unavailable> {
        read::history(&*self.0, tenant, locations, from).await
    }

    async fn totals(&self) -> Result<CoverageTotals, Unavailable> {
        read::totals(&*self.0).await
    }
}
