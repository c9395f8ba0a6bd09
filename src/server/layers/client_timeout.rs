//! Reads the timeout that the client sets, the `grpc-timeout` of gRPC over HTTP/2
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). Connect's timeout is converted to it before.

use std::time::Duration;

use http::HeaderMap;

/// The name of the metadata.
pub(super) const NAME: &str = "grpc-timeout";

/// The timeout is malformed. If it were ignored, the call could take longer than its client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

// === impl Malformed ===

impl Malformed {
    /// What is wrong, and what to send instead.
    pub(super) const PROBLEM: &str = "is malformed: send one value of at most eight digits and a unit (H, M, S, m, u or n), such as 15S, or for Connect \
         a connect-timeout-ms of at most ten digits";
}

/// The timeout of the request, if it has one.
pub(super) fn client_timeout(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let timeout = value.to_str().ok().filter(|_| values.next().is_none()).and_then(parse);
    timeout.map(Some).ok_or(Malformed)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout(values: &[&str]) -> Result<Option<Duration>, Malformed> {
        let values = values.iter().map(|value| (http::HeaderName::from_static(NAME), value.parse().unwrap()));
        client_timeout(&values.collect())
    }

    #[test]
    fn a_timeout_is_read_in_every_unit() {
        assert_eq!(timeout(&[]), Ok(None));
        for (text, expected) in [
            ("1H", Duration::from_hours(1)),
            ("2M", Duration::from_mins(2)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("100m", Duration::from_millis(100)),
            ("00000007u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(timeout(&[text]), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn a_malformed_timeout_is_not_taken_for_none() {
        for text in
            ["", "S", "1", "123456789S", "-1S", "+1S", "1.5S", "1 S", " 1S", "1h", "1s", "1MS", "1µ", "ten"]
        {
            assert_eq!(timeout(&[text]), Err(Malformed), "{text:?}");
        }
        assert_eq!(timeout(&["1S", "1S"]), Err(Malformed));
    }
}
