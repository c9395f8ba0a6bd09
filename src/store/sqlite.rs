//! The store in one SQLite file in WAL mode, synced at every commit. One process writes it through one
//! connection. Readers use a small pool and never wait for the writer.

mod archive;
mod copy;
mod database;
mod error;
mod event_reader;
mod event_rows;
mod events;
mod file;
mod guest;
mod history;
mod index_check;
mod lifecycle;
mod open_intents;
mod packed_event;
mod read;
mod select;
mod sinks;
mod space;
mod transaction;
mod tree;
mod upgrade;
mod wal;
mod write;
mod writer;

pub(super) use self::{copy::copy, database::Sqlite, file::path, read::Reader, wal::sync};
