//! The gRPC server and the HTTP endpoints for operators. `serve` runs the gRPC server; a request passes through
//! `transport`, `layers` and `grpc`, in this order.

pub mod admin;
mod config;
mod grpc;
mod health;
mod layers;
mod message_limits;
pub mod readiness;
mod reflection;
mod routes;
mod serve;
mod transport;

pub use self::{
    config::Config,
    grpc::status::{DOMAIN, StatusTexts},
    layers::stack::LayerPorts,
    serve::{ServeError, Services, run},
    transport::{
        connection_driver::ConnectionLifetime,
        connection_limits::ConnectionLimits,
        source::TrustedProxies,
        tls::{ClientAuth, Tls, TlsConfig, TlsError},
    },
};
