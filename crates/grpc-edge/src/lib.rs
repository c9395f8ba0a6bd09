//! Two layers that a gRPC server puts before tonic. [`ConnectLayer`] serves the Connect protocol
//! (<https://connectrpc.com/docs/protocol>) by the methods of the gRPC server, so that `curl --json` works.
//! [`CardinalityLayer`] rejects a call with fewer or more request messages than its method takes.

mod cardinality;
mod connect;
mod frame;

pub use self::{
    cardinality::CardinalityLayer,
    connect::{layer::ConnectLayer, protocol::CONTENT_TYPES},
};
