//! Checks a log against itself, its signed checkpoint, and a checkpoint that an auditor kept. It makes one
//! pass over the events in bounded memory, and reports which events were changed and how.

mod archived;
mod pass;
mod report;
mod restarted;
mod rotations;
mod run;
mod trust;
mod unsigned;

pub use self::{
    report::{ArchivedRanges, Finding, FormerLog, Report, Unproven, UnsignedEvents},
    run::verify,
    trust::{NewestCheckpoint, TrustAnchor, TrustedLog},
};
