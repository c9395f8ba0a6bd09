//! Connections: accepts them, limits them, and reads and writes their bytes. It knows no gRPC.

pub(super) mod acceptor;
mod anonymous_queue;
pub(super) mod connection;
pub(super) mod connection_driver;
pub(super) mod connection_limits;
mod flood_guard;
pub(super) mod http2;
pub(super) mod source;
pub(super) mod tls;
