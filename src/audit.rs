//! The audit log: OCSF events, made durable by group commit before the service acts on them.
//!
//! The use cases use only [`crate::ports::AuditLog`]. [`Journal`] implements it over an
//! [`crate::ports::EventStore`].

pub mod archive;
mod batch_tag;
mod c2sp_layout;
pub mod checkpoint;
mod config;
pub mod event;
pub mod export;
mod journal;
mod leaf_cache;
mod monitored_store;
pub mod parsed_event;
mod pending_changes;
mod proof;
pub mod prove;
mod prover;
mod read_sampling;
mod refusal_dedup;
pub mod restart;
pub mod rotation;
pub mod sequencer;
pub mod sinks;
mod tail;
mod tree;
pub mod verify;

pub use self::{
    batch_tag::BatchTagger,
    c2sp_layout::LogFolder,
    config::{Config, ReadRecording},
    journal::Journal,
    leaf_cache::LeafCache,
    monitored_store::MonitoredTreeStore,
    pending_changes::PendingChangeReader,
    prover::ProofService,
    sequencer::Sequencer,
    sinks::Sinks,
};
