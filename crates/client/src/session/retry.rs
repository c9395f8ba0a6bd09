//! When to repeat a call.

use std::{error::Error as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How often a call is repeated whose connection broke. The service did not say when to repeat it.
const MAX_RECONNECTS: u32 = 3;
/// The delay before the first of these repetitions; each further one waits twice as long.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// The delay before a stream is opened again.
const RESUME_DELAY: Duration = Duration::from_secs(1);

/// How often the connection of a call broke.
#[derive(Debug, Default)]
pub(super) struct Reconnects(u32);

impl Reconnects {
    /// The delay before the next attempt. `None`: it would not help.
    pub(super) fn delay(&mut self, status: &Status) -> Option<Duration> {
        if !is_broken_connection(status) {
            return requested_delay(status);
        }
        self.0 += 1;
        (self.0 <= MAX_RECONNECTS).then(|| RECONNECT_DELAY * 2_u32.pow(self.0 - 1))
    }
}

/// The delay before a stream that ended so is opened again. `None`: it would not help.
pub(super) fn resume_delay(status: &Status) -> Option<Duration> {
    let expired = status.get_details_error_info().is_some_and(|info| info.reason == "TOKEN_EXPIRED");
    let ended = expired || status.code() == Code::Unavailable;
    requested_delay(status).or(ended.then_some(RESUME_DELAY))
}

/// Whether the service gave no answer. Only a status that tonic made itself has a source. Its code depends on the moment
/// at which the connection broke: `UNAVAILABLE`, `UNKNOWN` or `CANCELLED`.
pub(super) fn is_broken_connection(status: &Status) -> bool {
    status.source().is_some()
}

pub(super) fn root_cause(status: &Status) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = status;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn requested_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}
