//! The durable store of audit events, key records and requests, in SQLite or PostgreSQL. `app` opens it once
//! at the start; [`open`] returns only a store that can be written.

mod batch_loader;
mod bulk;
mod columns;
mod config;
mod coverage;
mod database;
mod error;
mod event_fields;
mod event_log;
mod key_queries;
mod key_rows;
mod migrate;
mod open;
mod page_keys;
mod postgres;
mod removal;
mod requests;
mod row_values;
mod rules;
mod sqlite;
mod transaction;
mod tree_rows;

pub use self::{
    config::Config,
    error::OpenError,
    open::{ReadOnlyStore, Store, copy, open, open_reader, open_with_progress, sync},
};
