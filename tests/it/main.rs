//! Black-box tests: a real server on a real socket, and the rules of the house.
#![expect(clippy::panic, clippy::string_slice, clippy::unwrap_used, reason = "a test that panics has failed")]

mod audit;
mod audit_again;
mod audit_events;
mod audit_keep;
mod audit_service;
mod audit_tree;
mod audit_verbs;
mod aws;
mod bound;
mod corpus;
mod diagnosis;
mod docs;
mod edge;
mod front;
mod harness;
mod hidden;
mod jwks;
mod key_usage;
mod layering;
mod limits;
mod main_job;
mod onboarding;
mod policies;
mod process;
mod query_results;
mod reload;
mod repeating;
mod roles;
mod shared_log;

mod sandbox;
mod secrets;
mod sinks;
mod store;
mod strangers;
mod tls;
mod tokens;
