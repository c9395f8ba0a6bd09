//! The store in a PostgreSQL database that several processes share. Each process appends; one of them, the
//! leader, extends the tree. Every wait for the server has a time limit.

mod advisory_locks;
mod archive;
mod database;
mod error;
mod events;
mod history;
mod leader;
mod lifecycle;
mod read;
mod schema;
mod server;
mod space;
mod transaction;
mod tree;
mod write;

pub(super) use self::{database::Postgres, read::Reader};
