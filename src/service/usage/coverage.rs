//! The text that says what a response about a key's usage is based on, and what it does not cover.

use std::fmt;

use super::scan::{Completeness, ScanResult};
use crate::domain::{
    history::{KeyUse, Protection},
    tenant::TenantId,
};

/// What the text depends on. Its `Display` is the text.
pub(super) struct Coverage<'c> {
    pub(super) tenant: &'c TenantId,
    pub(super) scanned: &'c [ScanResult],
    /// Whether there are more uses than the response covers.
    pub(super) truncated: bool,
    pub(super) uses: &'c [KeyUse],
}

impl fmt::Display for Coverage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for location in self.scanned {
            fmt_scan(f, location)?;
            self.fmt_record(f, location)?;
        }
        let count =
            |protection: Protection| self.uses.iter().filter(|it| it.protection == protection).count();
        match count(Protection::Forever) {
            0 => {}
            n => {
                write!(
                    f,
                    "{n} of the uses have no end, because their log groups keep events indefinitely. "
                )?;
            }
        }
        match count(Protection::NotKnown) {
            0 => {}
            n => write!(
                f,
                "The end of {n} of the uses is unknown, because the service has not read the retention of their log groups: read them with GetKeyAssociation. "
            )?,
        }
        if self.truncated {
            f.write_str("There are more uses than one response covers, so this list is incomplete. ")?;
        }
        write!(
            f,
            "Former keys come from this service's own record, which does not contain a key that was replaced before the record begins, or that another tool set and replaced between two scans. \
            AWS has no call that returns the key of stored query results, so the response contains what this service has recorded about it. \
            Not covered: log groups that tenant {} may not see, other accounts, and everything other than CloudWatch Logs that may use the key",
            self.tenant
        )
    }
}

// === impl Coverage ===

impl Coverage<'_> {
    /// When the record of the location begins. The key of a log group can be on record before the first
    /// complete scan, because every change and read is recorded.
    fn fmt_record(&self, f: &mut fmt::Formatter<'_>, scanned: &ScanResult) -> fmt::Result {
        let here = self.uses.iter().filter(|it| it.resource.location == scanned.location);
        let first_use = here.map(|it| it.since).min();
        match (first_use, scanned.first) {
            (Some(earlier), Some(first)) if earlier < first => write!(
                f,
                "; the record of former keys there begins at {earlier}, and has all log groups since {first}. "
            ),
            (_, Some(first)) => write!(f, "; the record of former keys there begins at {first}. "),
            (Some(earlier), None) => {
                write!(
                    f,
                    "; the record of former keys there begins at {earlier}, but not yet for all log groups. "
                )
            }
            (None, None) => f.write_str(". "),
        }
    }
}

fn fmt_scan(f: &mut fmt::Formatter<'_>, scanned: &ScanResult) -> fmt::Result {
    let ScanResult { location, known_as_of, now, .. } = scanned;
    let (account, region) = (location.account, &location.region);
    match now {
        // No numbers: they would tell how many log groups the tenant may not see.
        Completeness::Whole { started } => {
            write!(f, "Account {account} in {region}: all log groups were read from AWS at {started}")
        }
        Completeness::Part { started } => {
            write!(
                f,
                "Account {account} in {region}: log groups were read from AWS since {started}, and the deadline came before the rest; repeat the call to continue the scan"
            )?;
            fmt_last_complete(f, scanned)
        }
        Completeness::Failed(reason) => {
            write!(
                f,
                "Account {account} in {region}: the log groups could not be read from AWS because {reason}"
            )?;
            fmt_last_complete(f, scanned)
        }
        Completeness::None => match known_as_of {
            Some(at) => {
                write!(f, "Account {account} in {region}: all log groups were last read from AWS at {at}")
            }
            None => {
                write!(f, "Account {account} in {region}: there is no complete scan of the log groups yet")
            }
        },
    }
}

fn fmt_last_complete(f: &mut fmt::Formatter<'_>, scanned: &ScanResult) -> fmt::Result {
    match scanned.known_as_of {
        Some(at) => write!(f, "; all of them were last read at {at}"),
        None => f.write_str("; there is no complete scan of them yet"),
    }
}
