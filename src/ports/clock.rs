//! The wall clock.

use crate::domain::time::Timestamp;

/// The wall clock. Durations are measured with the runtime's clock instead.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}
