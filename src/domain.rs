//! Values that are true once built: no I/O, no async, no framework.

pub mod arn;
pub mod association;
pub mod audit;
pub mod authorization;
pub mod aws;
pub mod call;
pub mod diagnosis;
pub mod error_chain;
pub mod history;
pub mod idempotency;
pub mod key;
pub mod key_policy;
pub mod onboarding;
pub mod pattern;
pub mod policy_simulation;
pub mod principal;
pub mod reason;
pub mod remedy;
pub mod request;
pub mod tenant;
pub mod time;
