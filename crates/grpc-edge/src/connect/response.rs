//! Converts a gRPC response to one of Connect.

mod conversion;
mod grpc_messages;
mod stream;
mod unary;

pub(super) use self::{
    conversion::{ResponseConversion, error_response},
    grpc_messages::within,
    stream::{ended, stream},
    unary::unary,
};
