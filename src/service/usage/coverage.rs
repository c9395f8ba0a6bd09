//! What an answer about a key is based on, in words that a person can weigh.

use std::fmt;

use super::survey::{Extent, Surveyed};
use crate::domain::{
    history::{KeyUse, Protection},
    tenant::TenantId,
};

/// Everything that the words are made from.
pub(super) struct Coverage<'c> {
    pub(super) tenant: &'c TenantId,
    pub(super) surveyed: &'c [Surveyed],
    /// Whether there are more uses than were looked at.
    pub(super) truncated: bool,
    pub(super) uses: &'c [KeyUse],
}

impl fmt::Display for Coverage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.surveyed {
            place_read(f, place)?;
        }
        let count = |wanted: Protection| self.uses.iter().filter(|it| it.protection == wanted).count();
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

fn place_read(f: &mut fmt::Formatter<'_>, surveyed: &Surveyed) -> fmt::Result {
    let Surveyed { place, first, known_as_of, now } = surveyed;
    let (account, region) = (place.account, &place.region);
    match now {
        Extent::Whole { began, read } => {
            write!(f, "Account {account} in {region}: all {read} log groups were read from AWS at {began}")?;
        }
        Extent::Part { began, read } => {
            write!(
                f,
                "Account {account} in {region}: {read} log groups were read from AWS since {began}, and there are more than the deadline let be read; ask again, and the reading goes on"
            )?;
            last_whole(f, surveyed)?;
        }
        Extent::Failed(why) => {
            write!(
                f,
                "Account {account} in {region}: the log groups could not be read from AWS, since {why}"
            )?;
            last_whole(f, surveyed)?;
        }
        Extent::None => match known_as_of {
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

fn last_whole(f: &mut fmt::Formatter<'_>, surveyed: &Surveyed) -> fmt::Result {
    match surveyed.known_as_of {
        Some(at) => write!(f, "; all of them were last read at {at}"),
        None => f.write_str("; never were all of them read"),
    }
}
