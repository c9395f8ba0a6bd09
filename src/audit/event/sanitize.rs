//! Makes text from outside safe for a log line, a terminal and a reader.

use std::{borrow::Cow, fmt::Write as _};

/// Returns at most `max` characters and about three times as many bytes of the text. Characters that could
/// control a terminal or reorder the text on screen are escaped as `\u{…}`. Most texts return unchanged.
#[must_use]
pub fn sanitize(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(max.saturating_mul(4)));
    let mut chars = text.chars().peekable();
    for _ in 0..max {
        let Some(c) = chars.next_if(|_| out.len() < max.saturating_mul(3)) else { break };
        if is_unsafe(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    Cow::Owned(out)
}

/// Whether the character is a control, a line separator, a change of text direction, or invisible.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        assert_eq!(sanitize("a\x1b[2Jb\r\n\0", 99), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{0}");
        assert_eq!(sanitize("x\u{202e}gpj", 99), "x\\u{202e}gpj");
        assert_eq!(
            sanitize("zero\u{200b}width\u{feff}\u{e0041}", 99),
            "zero\\u{200b}width\\u{feff}\\u{e0041}"
        );
        assert_eq!(sanitize("Ünïcödé 日本語 \"quoted\" \\", 99), "Ünïcödé 日本語 \"quoted\" \\");
    }

    #[test]
    fn long_text_is_cut_and_ends_with_an_ellipsis() {
        assert_eq!(sanitize("abcdef", 3), "abc…");
        assert_eq!(sanitize("äöü", 3), "äöü");
        assert_eq!(sanitize("äöü", 4), "äöü");
        // An escaped character is longer: four of these are more than thirty bytes.
        assert_eq!(sanitize(&"\u{202e}".repeat(1000), 10), "\\u{202e}".repeat(4) + "…");
        assert_eq!(sanitize(&"日".repeat(10), 10), "日".repeat(10));
    }
}
