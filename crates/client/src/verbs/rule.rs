//! `logkey rule`: encryption rules.

mod args;
mod definition;
mod show;

pub(super) use self::args::{RuleArgs, run};
