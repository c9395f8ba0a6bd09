//! Which locations a report covers, and how current the service's knowledge of them is.

use std::collections::BTreeMap;

use super::{access::Visible, ports::CoverageQueries};
use crate::{
    domain::{association::Location, aws::AccountId, fleet::Failure, time::Timestamp},
    service::{context::Context, error::Error},
};

/// The reason of a location that was never evaluated.
const NOT_EVALUATED: &str = "NOT_EVALUATED";

/// One location of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationReport {
    /// The account and Region.
    pub location: Location,
    /// When the service last began to read all log groups successfully.
    pub known_as_of: Option<Timestamp>,
    /// Why the last attempt failed, or why there was none.
    pub failure: Option<Failure>,
}

impl CoverageQueries {
    /// The locations that the call may see, by account and Region. A location that several tenants have is as
    /// current as the oldest evaluation of them.
    pub(super) async fn location_reports(
        &self,
        cx: &Context,
        visible: &Visible,
    ) -> Result<Vec<LocationReport>, Error> {
        let evaluated = cx.in_turn(self.ports.store.locations(&visible.filter())).await?;
        let mut evaluated: BTreeMap<_, _> = evaluated
            .into_iter()
            .map(|found| ((found.at.tenant.clone(), key(&found.at.location)), found))
            .collect();
        let mut reports = BTreeMap::new();
        for at in &visible.granted {
            let location = at.location.clone();
            let report = match evaluated.remove(&(at.tenant.clone(), key(&location))) {
                Some(found) => {
                    LocationReport { location, known_as_of: found.known_as_of, failure: found.failure }
                }
                None => LocationReport { location, known_as_of: None, failure: Some(not_evaluated()) },
            };
            let merged = match reports.remove(&key(&at.location)) {
                Some(other) => merge(other, report),
                None => report,
            };
            reports.insert(key(&at.location), merged);
        }
        Ok(reports.into_values().collect())
    }
}

fn key(location: &Location) -> (AccountId, Box<str>) {
    (location.account, location.region.as_str().into())
}

fn merge(one: LocationReport, other: LocationReport) -> LocationReport {
    // `None` is less than every time.
    let known_as_of = one.known_as_of.min(other.known_as_of);
    LocationReport { known_as_of, failure: one.failure.or(other.failure), ..other }
}

fn not_evaluated() -> Failure {
    Failure {
        reason: NOT_EVALUATED.into(),
        message:
            "the service has not read the log groups of this account and Region yet: it reads them when it \
                  next evaluates the tenant's encryption rules, or call EvaluateEncryptionRule"
                .into(),
        remedy_document: None,
    }
}
