//! Values that are true once built: no I/O, no async, no framework.

pub mod arn;
pub mod ask;
pub mod association;
pub mod audit;
pub mod authorization;
pub mod aws;
pub mod call;
pub mod chain;
pub mod diagnosis;
pub mod history;
pub mod key;
pub mod key_policy;
pub mod onboarding;
pub mod pattern;
pub mod principal;
pub mod reason;
pub mod remedy;
pub mod request;
pub mod simulation;
pub mod tenant;
pub mod time;
