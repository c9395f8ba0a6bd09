//! The compliance report: whether each resource has the key that it must have. [`collect`] reads it from the
//! service, the other modules write it in the forms that people and programs read.

mod asff;
mod classify;
mod collect;
mod findings;
mod html;
mod listing;
mod model;
mod ocsf;
mod table;

pub(crate) use self::{
    asff::asff,
    collect::{Scope, collect},
    html::html,
    model::{ComplianceReport, Verdict},
    ocsf::ocsf,
    table::report,
};
