//! A number with its noun, for messages.

use std::fmt::Display;

/// Formats a number with the noun in the singular or plural, such as `1 event` or `2 events`.
pub fn plural(number: impl Copy + Display + PartialEq + From<u8>, noun: &str) -> String {
    let ending = if number == 1.into() { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
