//! The embedded AWS: STS, IAM, `CloudWatch` Logs, KMS, Service Quotas, SQS and tags over a real socket. Tests,
//! the demo and `logkey sandbox` use it. It encrypts nothing and keeps its state in memory only.
//! `docs/sandbox.md` lists which of AWS's rules it enforces.

mod api_error;
mod authorizer;
pub mod builder;
pub mod call_log;
pub mod clock;
mod cloudtrail;
mod condition_keys;
mod control;
pub mod fault;
mod handler;
mod http;
mod iam;
mod identity;
mod instance;
mod kms;
mod logs;
mod partition;
mod policy;
pub mod quota;
mod sandbox;
pub mod seed;
mod service;
mod servicequotas;
mod sigv4;
mod sqs;
mod state;
mod sts;
mod tagging;
mod validate;
mod wire;

pub use self::{
    policy::error::InvalidPolicy,
    sandbox::{Running, Sandbox},
    service::Service,
};
