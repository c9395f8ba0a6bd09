//! `logkey associate` and `logkey disassociate`.

mod args;
mod wait;

pub(super) use self::args::{AssociateArgs, DisassociateArgs};
pub(super) use self::args::{associate, disassociate};
