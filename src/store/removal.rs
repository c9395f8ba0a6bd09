//! Removes archived events in steps, so that writes continue meanwhile.

use std::time::Duration;

use super::{columns::Columns as _, database::Database};
use crate::ports::Unavailable;

/// The pause between two steps, in which other statements can run.
pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// The minimum advance of the position before which every intent is closed. Smaller advances are not stored.
pub(super) const RECONCILED_STEP: i64 = 1024;

/// The sequence numbers up to which to remove events, one after the other, at most `step` events further each.
/// The last one is `last`.
pub(super) async fn steps<D: Database>(
    database: &D,
    last: i64,
    step: i64,
) -> Result<impl Iterator<Item = i64> + use<D>, Unavailable> {
    let first = database.rows("SELECT min(seq) FROM event", &[]).await?;
    let first = first.first().map_or(Ok(None), |row| row.number(0))?;
    let mut through = first.unwrap_or(i64::MAX).saturating_sub(1);
    Ok(std::iter::from_fn(move || {
        (through < last).then(|| {
            through = through.saturating_add(step).min(last);
            through
        })
    }))
}

/// Logs that the position before which every intent is closed was not stored. A later call stores it.
pub(super) fn log_not_remembered(error: &Unavailable) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "cannot store the position before which every intent is closed");
}
