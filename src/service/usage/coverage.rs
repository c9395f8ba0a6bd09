//! What an answer about a key is based on, in words that a person can weigh.

use std::fmt;

use super::scan::{Completeness, ScanResult};
use crate::domain::{
    history::{KeyUse, Protection},
    tenant::TenantId,
};

/// Everything that the words are made from.
pub(super) struct Coverage<'c> {
    pub(super) tenant: &'c TenantId,
    pub(super) scanned: &'c [ScanResult],
    /// Whether there are more uses than were looked at.
    pub(super) truncated: bool,
    pub(super) uses: &'c [KeyUse],
}

impl fmt::Display for Coverage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for location in self.scanned {
            fmt_scan(f, location)?;
        }
        let count =
            |protection: Protection| self.uses.iter().filter(|it| it.protection == protection).count();
        match count(Protection::Forever) {
            0 => {}
            n => write!(f, "{n} of the uses have no end, since their log groups keep events for ever. ")?,
        }
        match count(Protection::NotKnown) {
            0 => {}
            n => write!(
                f,
                "Of {n} of the uses it is not known until when they last, since nobody has read the log groups' retention: read them with GetKeyAssociation. "
            )?,
        }
        if self.truncated {
            f.write_str("There are more uses than one answer looks at: this is not all. ")?;
        }
        write!(
            f,
            "Former keys are known from this service's own record: a key that was replaced before the record begins, or set and replaced elsewhere between two readings, is not known. \
             The key of stored query results cannot be read from AWS: what is said of it is what was set through this service. \
             Not looked at: log groups that tenant {} may not see, other accounts, and everything else than CloudWatch Logs that may use the key",
            self.tenant
        )
    }
}

fn fmt_scan(f: &mut fmt::Formatter<'_>, scanned: &ScanResult) -> fmt::Result {
    let ScanResult { location, first, known_as_of, now } = scanned;
    let (account, region) = (location.account, &location.region);
    match now {
        Completeness::Whole { started, read } => {
            write!(
                f,
                "Account {account} in {region}: all {read} log groups were read from AWS at {started}"
            )?;
        }
        Completeness::Part { started, read } => {
            write!(
                f,
                "Account {account} in {region}: {read} log groups were read from AWS since {started}, and there are more than the deadline let be read; ask again, and the reading goes on"
            )?;
            fmt_last_complete(f, scanned)?;
        }
        Completeness::Failed(reason) => {
            write!(
                f,
                "Account {account} in {region}: the log groups could not be read from AWS, since {reason}"
            )?;
            fmt_last_complete(f, scanned)?;
        }
        Completeness::None => match known_as_of {
            Some(at) => {
                write!(f, "Account {account} in {region}: all log groups were last read from AWS at {at}")?;
            }
            None => write!(f, "Account {account} in {region}: never were all log groups read from AWS")?,
        },
    }
    match first {
        Some(first) => write!(f, "; the record of former keys there begins at {first}. "),
        None => f.write_str(". "),
    }
}

fn fmt_last_complete(f: &mut fmt::Formatter<'_>, scanned: &ScanResult) -> fmt::Result {
    match scanned.known_as_of {
        Some(at) => write!(f, "; all of them were last read at {at}"),
        None => f.write_str("; never were all of them read"),
    }
}
