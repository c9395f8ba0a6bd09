//! Calls AWS. Every call uses a session of the role that its `Access` or `Authorized` command names.
//!
//! Only this module holds sessions, and it finds them by the tenant and grant of that proof. Code outside
//! cannot combine one tenant's credentials with another tenant's command.

mod call_budget;
mod call_spans;
mod client;
mod clients;
mod config;
mod error;
mod http_pool;
mod iam;
mod key_associations;
mod kms;
mod log_groups;
mod log_stream;
mod operation;
mod queries;
mod quotas;
mod recent_identity;
mod refusal;
mod roles;
mod s3;
mod service_health;
mod service_identity;
mod session_name;
mod session_policy;
mod sessions;
mod sqs;
mod sts;
mod tag_cache;

#[cfg(any(test, feature = "testing"))]
pub use self::sessions::bench_support::SessionBench;
pub use self::{
    client::Aws,
    config::{Config, Endpoints, ServiceCredentials, SessionTagging, Timeouts},
    log_stream::{config::StreamConfig, sink::LogStream},
    s3::{
        bucket::S3Files,
        location::{InvalidS3Location, S3Location},
    },
    session_policy::grant_fits_session_policy,
    sqs::{
        event::GroupEvent,
        queue::EventQueue,
        queue_url::{InvalidQueueUrl, QueueUrl},
    },
};
