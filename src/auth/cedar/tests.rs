//! Tests of the decisions by grants and by operators' policies.

mod decisions;
mod differential;
mod facts;
mod fixture;
mod grants;
mod loading;
