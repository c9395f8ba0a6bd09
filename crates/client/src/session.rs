//! Calls to the service: each with the token, a deadline, and retries that follow the service's `RetryInfo`.

mod call;
mod follow;
mod retry;
mod state;

pub use self::state::Session;
