//! Parses values. An error message of these functions continues a sentence that begins with the key. It says
//! what to write instead and never repeats the value.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    str::FromStr,
    time::Duration,
};

use jiff::{Span, SpanRelativeTo, tz::TimeZone};
use url::{Host, Url};

use super::tree::{Node, Value};
use crate::domain::time::Timestamp;

/// What is wrong with a value: the rest of a sentence that begins with the key.
pub(super) type ValueError = String;

/// Parses a string that is not empty.
pub(super) fn text(node: &Node) -> Result<String, ValueError> {
    match &node.value {
        Value::Text(text) | Value::Untyped(text) if !text.trim().is_empty() => Ok(text.clone()),
        Value::Text(_) | Value::Untyped(_) => Err("is empty: write a value, or omit the key".to_owned()),
        Value::Integer(_)
        | Value::Boolean(_)
        | Value::Time(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_) => Err("is not a string: put it in double quotes".to_owned()),
    }
}

/// Parses a Boolean.
pub(super) fn boolean(node: &Node) -> Result<bool, ValueError> {
    if let Value::Boolean(yes) = node.value {
        return Ok(yes);
    }
    untyped(node).ok_or_else(|| "is neither true nor false: write one of them, without quotes".to_owned())
}

/// Parses a whole number greater than zero.
pub(super) fn count(node: &Node) -> Result<NonZeroU32, ValueError> {
    let number = if let Value::Integer(number) = node.value { number } else { untyped(node) };
    number
        .and_then(|number| u32::try_from(number).ok())
        .and_then(NonZeroU32::new)
        .ok_or_else(|| format!("is not a whole number from 1 to {}: write for example 100", u32::MAX))
}

/// Like [`count`], for a number of things in memory.
pub(super) fn size(node: &Node) -> Result<NonZeroUsize, ValueError> {
    let size = usize::try_from(count(node)?.get()).ok().and_then(NonZeroUsize::new);
    size.ok_or_else(|| "is too large for this machine: write a smaller number".to_owned())
}

/// Parses a whole number in this range, in words.
pub(super) fn integer<T: TryFrom<i64>>(range: &str) -> impl Fn(&Node) -> Result<T, ValueError> {
    move |node| {
        let number = if let Value::Integer(number) = node.value { number } else { untyped(node) };
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("is not a whole number {range}: write for example 10"))
    }
}

/// Parses a number from 0 to 1.
pub(super) fn ratio(node: &Node) -> Result<f64, ValueError> {
    let number = match node.value {
        Value::Float(number) => number,
        Value::Integer(Some(0)) => Some(0.0),
        Value::Integer(Some(1)) => Some(1.0),
        Value::Untyped(_) => untyped(node),
        Value::Integer(_)
        | Value::Text(_)
        | Value::Boolean(_)
        | Value::Time(_)
        | Value::List(_)
        | Value::Table(_) => None,
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "is not a number from 0 to 1: write for example 0.05".to_owned())
}

/// Parses one line of text with at most this number of characters.
pub(super) fn line(node: &Node, max: usize) -> Result<Box<str>, ValueError> {
    let text = text(node)?;
    if text.chars().count() > max {
        Err(format!("is longer than {max} characters"))
    } else if text.chars().any(char::is_control) {
        Err("contains a control character: write plain text on one line".to_owned())
    } else {
        Ok(text.into())
    }
}

/// Parses a time with its offset from UTC, or a day, which begins at midnight UTC.
pub(super) fn time(node: &Node) -> Result<Timestamp, ValueError> {
    let text = match &node.value {
        Value::Time(text) => text.clone(),
        Value::Text(_)
        | Value::Untyped(_)
        | Value::Integer(_)
        | Value::Boolean(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_) => text(node).unwrap_or_default(),
    };
    let midnight = || Some(text.parse::<jiff::civil::Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let is_day = text.len() == "2030-12-31".len();
    let time = if is_day { midnight() } else { text.parse::<jiff::Timestamp>().ok() };
    time.map(|time| Timestamp::from_micros(time.as_microsecond())).ok_or_else(|| {
        "is not a time: write for example 2030-12-31T00:00:00Z, or 2030-12-31 for its first moment in UTC"
            .to_owned()
    })
}

/// Parses a number with its unit: `500ms`, `30s`, `15m`, `1h`, `2d`. Returns `None` for other text.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

/// Parses a duration: a number with a unit.
pub(super) fn duration(node: &Node) -> Result<Duration, ValueError> {
    text(node).ok().and_then(|text| parse_duration(&text)).ok_or_else(|| {
        "is not a duration: write a number and its unit in quotes, such as \"500ms\", \"30s\", \"15m\", \"1h\" or \"2d\""
            .to_owned()
    })
}

/// Parses a duration from `min` to `max`, both included.
pub(super) fn duration_within(
    min: Duration,
    max: Duration,
) -> impl Fn(&Node) -> Result<Duration, ValueError> {
    move |node| {
        let value = duration(node)?;
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(format!(
                "is out of range: write a duration from {} to {}",
                HumanDuration(min),
                HumanDuration(max)
            ))
        }
    }
}

/// Parses an IP address and port.
pub(super) fn address(node: &Node) -> Result<SocketAddr, ValueError> {
    let wrong =
        |_| "is not an address and port: write for example \"127.0.0.1:50051\" or \"[::]:50051\"".to_owned();
    text(node)?.parse::<SocketAddr>().map_err(wrong)
}

/// Parses an http or https URL.
pub(super) fn http_url(node: &Node) -> Result<Url, ValueError> {
    let url = Url::parse(&text(node)?)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| {
        "is not an http or https URL: write for example \"https://idp.example.com/jwks.json\"".to_owned()
    })
}

/// Parses a type whose own error says what is expected.
pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(node: &Node) -> Result<T, ValueError> {
    text(node)?.parse().map_err(|error: T::Err| {
        let error = error.to_string();
        if error.starts_with("not ") { format!("is {error}") } else { error }
    })
}

/// Parses one of these words.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Node) -> Result<T, ValueError> {
    move |node| {
        let text = text(node)?;
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("is not a known value: write {}", words.join(" or "))
        })
    }
}

/// Parses the text of a variable; `None` for a value from a file.
fn untyped<T: FromStr>(node: &Node) -> Option<T> {
    let Value::Untyped(text) = &node.value else { return None };
    text.parse().ok()
}

/// Whether the host of a URL is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

/// Writes a duration in the largest unit that divides it.
struct HumanDuration(Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        match units.iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", millis / unit),
            None => f.write_str("0s"),
        }
    }
}
