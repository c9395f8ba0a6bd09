//! Returns the counts of past days (`GetCoverageHistory`).

use std::time::Duration;

use super::{access::CoverageScope, locations::LocationReport, ports::CoverageQueries};
use crate::{
    domain::{association::Location, tenant::TenantId},
    ports::coverage::DailyCoverage,
    service::{context::Context, error::Error},
};

const DAY: Duration = Duration::from_hours(24);

/// The history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryReport {
    /// The points, oldest first.
    pub days: Vec<DailyCoverage>,
    /// The locations that today's counts cover.
    pub locations: Vec<LocationReport>,
}

impl CoverageQueries {
    /// The counts of this number of days, today included.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not read coverage, or the store cannot be read.
    pub async fn history(
        &self,
        mut cx: Context,
        days: u32,
        tenant: Option<TenantId>,
    ) -> Result<HistoryReport, Error> {
        let result = self.read_history(&mut cx, days, tenant).await;
        cx.record_read(result)
    }

    async fn read_history(
        &self,
        cx: &mut Context,
        days: u32,
        tenant: Option<TenantId>,
    ) -> Result<HistoryReport, Error> {
        let scope = CoverageScope { tenant, ..CoverageScope::default() };
        let Some(visible) = self.visible(cx, &scope).await? else { return Ok(HistoryReport::default()) };
        let from = cx.ports().clock.now().minus(DAY * days.saturating_sub(1));
        let own: Option<Vec<Location>> = visible
            .restricted_to
            .as_ref()
            .map(|_tenant| visible.granted.iter().map(|at| at.location.clone()).collect());
        let days = self.ports.store.history(visible.owner.as_ref(), own.as_deref(), from);
        let days = cx.in_long_turn(days).await?;
        Ok(HistoryReport { days, locations: self.location_reports(cx, &visible).await? })
    }
}
