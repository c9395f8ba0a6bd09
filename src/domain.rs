//! The types and rules of the product. They check themselves when they are built, and use no I/O, no async
//! and no framework. Every other module uses them; this module uses none of the others.

pub mod arn;
pub mod association;
pub mod audit;
pub mod authorization;
pub mod aws;
pub mod call;
pub mod connection;
pub mod diagnosis;
pub mod error_chain;
pub mod fleet;
pub mod fleet_kind;
pub mod grpc_code;
pub mod history;
pub mod idempotency;
pub mod key;
pub mod key_policy;
pub mod log_group_change;
pub mod nearest;
pub mod onboarding;
pub mod pattern;
pub mod plural;
pub mod policy_simulation;
pub mod principal;
pub mod reason;
pub mod recent_ids;
pub mod refusal;
pub mod remedy;
pub mod request;
pub mod role_statement;
mod serde_text;
pub mod tenant;
pub mod time;
