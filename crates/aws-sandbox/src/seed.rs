//! The initial contents of an embedded AWS, read from a TOML file or built in Rust with
//! [`Builder`](crate::builder::Builder).

pub(crate) mod apply;
mod check;
pub(crate) mod contents;
pub(crate) mod error;
mod read;
#[cfg(test)]
mod tests;

pub use self::{
    contents::{
        AccountSeed, JournalSeed, KeySeed, LogGroupSeed, PolicyText, QueryPlan, QueueSeed, QuotaSeed,
        RoleSeed, Seed, ServiceIdentity,
    },
    error::{SeedError, SeedErrors},
};
