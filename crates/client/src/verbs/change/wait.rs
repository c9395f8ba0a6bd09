//! Waits until a change is in force.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    failure::Failure,
    proto::{KeyAssociation, State},
};

/// The longest delay between two reads.
const MAX_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest delay between two reads.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Reads the association again until it is in this state. Returns the last one, and a failure if it did not get there.
pub(super) async fn until(
    mut association: KeyAssociation,
    state: State,
    timeout: Duration,
    read: impl AsyncFn() -> Result<KeyAssociation, Failure>,
) -> (KeyAssociation, Result<(), Failure>) {
    let deadline = Instant::now() + timeout;
    let key = association.kms_key_arn.clone();
    loop {
        if association.kms_key_arn != key {
            let text = format!("{} has another key now: someone changed it", association.resource_arn);
            return (association, Err(Failure::Negative(text)));
        }
        if association.state() == state {
            return (association, Ok(()));
        }
        let interval = interval(&association);
        if Instant::now() + interval > deadline {
            let text = format!("{} is not in force after {} s", association.resource_arn, timeout.as_secs());
            return (association, Err(Failure::NotYet(text)));
        }
        sleep(interval).await;
        match read().await {
            Ok(read) => association = read,
            Err(failure) => return (association, Err(failure)),
        }
    }
}

/// Until the change must be in force, but not longer than [`MAX_INTERVAL`].
fn interval(association: &KeyAssociation) -> Duration {
    let remaining = association.settle_time.and_then(|time| {
        let time = jiff::Timestamp::new(time.seconds, time.nanos).ok()?;
        Duration::try_from(time.duration_since(jiff::Timestamp::now())).ok()
    });
    remaining.unwrap_or(MIN_INTERVAL).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

#[cfg(test)]
mod tests;
