//! Durations on the command line, such as `20s`, `6m` or `1h 30m`.

use std::time::Duration;

/// Parses a duration that is longer than nothing.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|it| Duration::try_from(it).ok());
    let positive = parsed.filter(|duration| !duration.is_zero());
    positive.ok_or_else(|| "expected a duration such as 20s, 6m or 1h".to_owned())
}
