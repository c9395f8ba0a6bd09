//! The Connect protocol (<https://connectrpc.com/docs/protocol>): a request becomes a gRPC request, and the gRPC
//! response becomes a response of Connect.

mod compression;
mod error;
pub(crate) mod layer;
mod message;
pub(crate) mod protocol;
mod request;
mod response;
mod schema;
