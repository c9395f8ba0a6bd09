//! A gRPC service that sets KMS keys on `CloudWatch` Logs log groups and stored query results for many
//! tenants.
//!
//! # Reading order
//!
//! The modules are listed in the order in which a request passes through them. A file may use only modules of
//! a lower rank and its own; the test `tests/it/layering.rs` checks that.
//!
//! | rank | modules | responsibility |
//! |---|---|---|
//! | 9 | [`cli`] | the subcommands of `logkey` |
//! | 8 | [`app`] | builds, wires and shuts down the service; the only module that names every adapter |
//! | 7 | [`config`] | turns the settings into typed values and reports every problem at once |
//! | 6 | [`server`] | turns gRPC messages into commands and errors into gRPC statuses |
//! | 5 | [`service`] | the use cases: resolve, authorize, intent, permit, call, outcome |
//! | 4 | [`limit`] | the tenant quotas and the upstream limiter |
//! | 4 | [`aws`] | role sessions, the calls to AWS, and the classification of their errors |
//! | 4 | `sandbox` | the embedded AWS: the crate `aws-sandbox`, behind a feature |
//! | 4 | [`audit`], [`store`] | the audit log and its durable store |
//! | 4 | [`otlp`] | exports spans to a collector |
//! | 4 | [`auth`] | verification of tokens and evaluation of policies |
//! | 3 | [`ports`], [`proto`] | the traits that the adapters implement; the generated gRPC types |
//! | 2 | [`spans`] | the spans of a call's steps, for traces |
//! | 1 | [`domain`] | the types and rules of the product, without I/O |

pub mod cli;

pub mod app;

pub mod config;

pub mod server;
pub mod service;

pub mod audit;
pub mod auth;
pub mod aws;
pub mod limit;
pub mod otlp;
pub mod store;

pub mod ports;
pub mod proto;

pub mod spans;

pub mod domain;

/// The embedded AWS, from the crate `aws-sandbox`.
#[cfg(feature = "sandbox")]
pub use aws_sandbox as sandbox;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
