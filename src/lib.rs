//! A gRPC broker through which a tenant sets KMS keys on its own `CloudWatch` Logs log groups and
//! stored query results, and nothing else.
//!
//! # Reading order
//!
//! The modules stand in the order a request meets them. A file may use what stands below its line and
//! nothing above or beside it; `tests/it/layering.rs` fails on an arrow that points up.
//!
//! | rank | modules | what happens there |
//! |---|---|---|
//! | 8 | [`cli`] | the verbs of the command |
//! | 7 | [`app`] | the one file that names every adapter: builds, wires, drains |
//! | 6 | [`config`] | strings become typed settings, every fault told at once |
//! | 5 | [`server`] | bytes become a command; an error becomes a status |
//! | 4 | [`service`] | the use cases: find, decide, intent, pace, act, outcome |
//! | 3 | [`limit`] | tenants' limits, and the pace toward AWS |
//! | 3 | [`aws`] | the way to AWS: sessions of roles, the calls, what errors mean |
//! | 3 | `sandbox` | the embedded AWS, where it is compiled in |
//! | 3 | [`audit`], [`store`] | how each port is kept |
//! | 3 | [`auth`] | who is calling, and what they may do |
//! | 2 | [`ports`], [`proto`] | what the service needs from the world; what the wire says |
//! | 1 | [`domain`] | what is true, with no I/O |

pub mod cli;

pub mod app;

pub mod config;

pub mod server;
pub mod service;

pub mod audit;
pub mod auth;
pub mod aws;
pub mod limit;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod store;

pub mod ports;
pub mod proto;

pub mod domain;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
