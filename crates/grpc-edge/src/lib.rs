//! The layers that a gRPC server puts before tonic. [`DrainLayer`] keeps an early answer over HTTP/1.1 readable.
//! [`ContentTypeLayer`] refuses what no protocol serves. [`ConnectLayer`] serves the Connect protocol
//! (<https://connectrpc.com/docs/protocol>) by the methods of the gRPC server, so that `curl --json` works.
//! [`CardinalityLayer`] rejects a call with fewer or more request messages than its method takes.

mod cardinality;
mod connect;
mod content_type;
mod drain;
mod frame;

pub use self::{
    cardinality::CardinalityLayer, connect::layer::ConnectLayer, content_type::ContentTypeLayer,
    drain::DrainLayer,
};
