//! The state of the embedded AWS: accounts and their roles, and for each Region the keys, log groups and
//! quotas. Each account and Region has separate locks, and no lock is taken while another is held.

pub(crate) mod account;
pub(crate) mod aws;
pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod queues;
pub(crate) mod region;
