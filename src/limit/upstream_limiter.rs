//! The upstream limiter in memory: the tenants that call an account share its AWS quotas fairly.
//!
//! A call gets a permit within its deadline, or is rejected as soon as none can come in time.

mod fair_queue;
mod limiter;
mod pacer;
mod queue_state;
mod quota_queue;
#[cfg(test)]
mod tests;

pub use self::limiter::LocalUpstreamLimiter;
