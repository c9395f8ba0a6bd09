//! Black-box tests of a real server on a real socket, and checks of the sources and documents.
#![expect(clippy::panic, clippy::string_slice, clippy::unwrap_used, reason = "a test that panics has failed")]

mod acting;
#[path = "../../benches/shared/addresses.rs"]
mod addresses;
mod audit;
mod audit_archive;
mod audit_commands;
mod audit_commands_offline;
mod audit_events;
mod audit_forgery;
mod audit_output;
mod audit_restart;
mod audit_service;
mod audit_tampering;
mod audit_tree;
mod audit_upgrade;
mod aws;
mod bound_tokens;
mod bulk;
#[path = "../../benches/shared/child.rs"]
mod child;
mod client;
mod connect;
mod corpus;
mod coverage;
mod diagnosis;
mod docs;
mod edge;
mod event_queue;
mod grpc_rules;
mod harness;
mod idempotency;
mod imports;
mod jwks;
mod key_usage;
mod language;
mod layering;
mod limits;
mod main_job;
mod observability;
mod onboarding;
mod outgoing;
mod policies;
mod process;
mod query_results;
mod readiness;
mod refusals;
mod reload;
mod roles;
mod rules;
mod shared_log;
mod tenant_isolation;
mod transport;

mod auth_throttle;
mod sandbox;
mod secrets;
mod setup_commands;
mod sinks;
mod store;
mod store_size;
mod tls;
mod tokens;
