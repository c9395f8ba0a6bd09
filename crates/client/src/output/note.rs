//! What a report says below its table.

use super::layout::{escape, width_of, wrap};

/// What stands instead of a statement that would have to be broken.
const TOO_WIDE: &str = "The statement to add is wider than this terminal: -o wide prints it.";
/// How much further a value is indented that is below its name.
const INDENT: &str = "  ";

/// What a report says below its table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// A sentence.
    Sentence(String),
    /// A JSON document to paste, with one member on each line.
    Statement(String),
    /// A text that is printed as it is.
    Verbatim(String),
}

impl From<String> for Note {
    fn from(sentence: String) -> Self {
        Self::Sentence(sentence)
    }
}

impl Note {
    pub(super) fn render(&self, width: Option<u16>) -> String {
        match self {
            Self::Sentence(text) => wrap(&escape_lines(text), width),
            Self::Verbatim(text) => escape_lines(text),
            Self::Statement(text) => {
                let text = escape_lines(text);
                match width {
                    None => text,
                    Some(width) => {
                        fit_json(&text, width.into()).unwrap_or_else(|| wrap(TOO_WIDE, Some(width)))
                    }
                }
            }
        }
    }
}

/// What to do, and the statement to add for it, if there is one.
#[must_use]
pub fn remedy(sentence: &str, statement: &str) -> Vec<Note> {
    if statement.is_empty() {
        return vec![Note::Sentence(sentence.to_owned())];
    }
    vec![Note::Sentence(without_location(sentence).to_owned()), Note::Statement(statement.to_owned())]
}

/// The message without the words with which the service names the field of the statement: the statement follows.
#[must_use]
pub fn without_location(message: &str) -> &str {
    message.strip_suffix("; the statement to paste is in `remedy_document`").unwrap_or(message)
}

fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// JSON with line breaks only where JSON allows them. `None`: a text in it has no room.
fn fit_json(json: &str, width: usize) -> Option<String> {
    let fits = |line: &&str| width_of(line) <= width;
    let mut lines = Vec::new();
    for line in json.lines() {
        let bare = line.trim_start();
        if let Some(line) = [line, bare].into_iter().find(fits) {
            lines.push(line.to_owned());
            continue;
        }
        let (name, value) = line.split_once("\": ")?;
        let name = format!("{name}\":");
        let indented = format!("{}{INDENT}{value}", line.strip_suffix(bare).unwrap_or_default());
        lines.push([name.as_str(), name.trim_start()].into_iter().find(fits)?.to_owned());
        lines.push([indented.as_str(), value].into_iter().find(fits)?.to_owned());
    }
    Some(lines.join("\n"))
}
