//! One table of settings. The code requests each key that it knows. When a section is dropped, it reports
//! every key in the table that the code did not request.

use std::{borrow::Cow, cell::RefCell, path::PathBuf};

use toml::de::DeValue;

use super::{
    reader::Reader,
    tree::{Node, Source, Table, Value},
    value::{self, ValueError},
};
use crate::domain::nearest::nearest;

/// Former names of settings, with the names that replace them.
const FORMER_NAMES: [(&str, &str); 2] =
    [("audit.archive_after", "audit.retention"), ("audit.archive_dir", "audit.archive")];

/// One table of settings.
#[derive(Debug)]
pub(super) struct Section<'t> {
    /// Its name, such as `auth.issuers[0]`; empty for the whole document.
    name: String,
    /// The source of its first line.
    at: Source,
    table: Option<&'t Table>,
    reader: &'t Reader,
    requested_keys: RefCell<Vec<&'static str>>,
}

// === impl Section ===

impl<'t> Section<'t> {
    /// A whole document.
    pub(super) fn root(at: Source, table: &'t Table, reader: &'t Reader) -> Self {
        Self { name: String::new(), at, table: Some(table), reader, requested_keys: RefCell::default() }
    }

    /// The reader that collects the diagnostics.
    pub(super) fn reader(&self) -> &'t Reader {
        self.reader
    }

    /// The full name of a key of this section.
    pub(super) fn name_of(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Whether the key is set.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// The source of the value; if the key is absent, that of the section.
    pub(super) fn location_of(&self, key: &'static str) -> Source {
        self.find(key).map_or(self.at, |node| node.origin)
    }

    /// Reports a problem of a key. `what` continues a sentence that begins with the key.
    pub(super) fn report(&self, key: &'static str, what: &str) {
        self.reader.report(self.location_of(key), format!("{} {what}", self.name_of(key)));
    }

    /// Warns about a key that is valid but unsafe or without effect.
    pub(super) fn warn(&self, key: &'static str, what: &str) {
        self.reader.warn(self.location_of(key), format!("{} {what}", self.name_of(key)));
    }

    /// The value; `None` if the key is absent or the value invalid, which it reports.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> Option<T> {
        let node = self.find(key)?;
        parse(node).map_err(|wrong| self.report(key, &wrong)).ok()
    }

    /// The value; the default if the key is absent or the value invalid, which it reports.
    pub(super) fn or_default<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The value; it reports a missing key, with an example.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        example: &str,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, example);
        }
        self.optional(key, parse)
    }

    /// Reports that the key is missing.
    pub(super) fn missing(&self, key: &'static str, example: &str) {
        self.report(key, &format!("is required: write for example {key} = {example}"));
    }

    /// Like [`Section::list_of`], but it reports an empty list.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        let empty = self.find(key).and_then(list_elements).is_some_and(|values| values.is_empty());
        if empty {
            self.report(key, "is an empty list: write at least one value, or omit the key");
        }
        self.list_of(key, parse)
    }

    /// The valid values of a list; `None` if the key is absent. It reports each invalid value separately.
    pub(super) fn list_of<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        let node = self.find(key)?;
        let Some(values) = list_elements(node) else {
            self.report(key, "is not a list: write for example [\"one\", \"two\"]");
            return None;
        };
        let mut parsed = Vec::with_capacity(values.len());
        for (index, node) in values.iter().enumerate() {
            match parse(node) {
                Ok(value) => parsed.push(value),
                Err(wrong) => {
                    self.reader.report(node.origin, format!("{}[{index}] {wrong}", self.name_of(key)));
                }
            }
        }
        Some(parsed)
    }

    /// Like [`Section::list`], but it reports a missing key, with an example.
    pub(super) fn required_list<T>(
        &self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&Node) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        if !self.has(key) {
            self.missing(key, example);
        }
        self.list(key, parse)
    }

    /// A path, resolved relative to the folder of its file.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        let text = self.optional(key, value::text)?;
        Some(self.reader.resolve(self.location_of(key), &text))
    }

    /// The table of this name; an empty one if it is absent.
    pub(super) fn section(&self, key: &'static str) -> Section<'t> {
        self.optional_section(key).unwrap_or_else(|| self.child(self.name_of(key), self.at, None))
    }

    /// The table of this name; `None` if it is absent.
    pub(super) fn optional_section(&self, key: &'static str) -> Option<Section<'t>> {
        let node = self.find(key)?;
        if let Value::Table(table) = &node.value {
            return Some(self.child(self.name_of(key), node.origin, Some(table)));
        }
        self.report(key, &format!("is not a table: write [{}] on its own line", self.name_of(key)));
        None
    }

    /// The tables of this name.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'t>> {
        self.sections_after(0, key)
    }

    /// Like [`Section::sections`], for a document that is read in parts: the index of the first is `before`.
    pub(super) fn sections_after(&self, before: usize, key: &'static str) -> Vec<Section<'t>> {
        let name = self.name_of(key);
        let Some(node) = self.find(key) else { return Vec::new() };
        let Value::List(nodes) = &node.value else {
            self.report(key, &format!("is not a list of tables: write [[{name}]] on its own line"));
            return Vec::new();
        };
        let table = |(index, node): (usize, &'t Node)| {
            let name = format!("{name}[{}]", before + index);
            if let Value::Table(table) = &node.value {
                Some(self.child(name, node.origin, Some(table)))
            } else {
                self.reader.report(node.origin, format!("{name} is not a table"));
                None
            }
        };
        nodes.iter().enumerate().filter_map(table).collect()
    }

    fn child(&self, name: String, at: Source, table: Option<&'t Table>) -> Section<'t> {
        Section { name, at, table, reader: self.reader, requested_keys: RefCell::default() }
    }

    fn find(&self, key: &'static str) -> Option<&'t Node> {
        let mut requested_keys = self.requested_keys.borrow_mut();
        if !requested_keys.contains(&key) {
            requested_keys.push(key);
            #[cfg(test)]
            self.reader.record_requested_key(&self.name_of(key));
        }
        self.table?.get(key)
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let requested_keys = self.requested_keys.borrow();
        for (key, node) in self.table.into_iter().flatten() {
            if requested_keys.contains(&key.as_ref()) {
                continue;
            }
            let name = self.name_of(key);
            let advice = if key.as_ref() == "tenants_dir" {
                "put it at the top of the file, above the first [table]".to_owned()
            } else if let Some((_, now)) = FORMER_NAMES.iter().find(|(former, _)| *former == name) {
                format!("it is now called {now}")
            } else {
                match nearest(key, &requested_keys) {
                    Some(known) => format!("did you mean {}?", self.name_of(known)),
                    None => format!("expected one of {}", sorted(&requested_keys)),
                }
            };
            self.reader.report(node.name, format!("{name} is not a setting: {advice}"));
        }
    }
}

/// The elements of a list. A variable contains them as a TOML array or separated by commas.
fn list_elements(node: &Node) -> Option<Cow<'_, [Node]>> {
    match &node.value {
        Value::List(values) => Some(Cow::Borrowed(values)),
        Value::Untyped(text) if text.trim_start().starts_with('[') => {
            let value = DeValue::parse(text.trim()).ok()?;
            let Value::List(values) = Node::from_toml(value, |_| node.origin).value else { return None };
            Some(Cow::Owned(values))
        }
        Value::Untyped(text) => {
            let element = |text: &str| Node { value: Value::Text(text.trim().to_owned()), ..*node };
            Some(text.split(',').filter(|text| !text.trim().is_empty()).map(element).collect())
        }
        Value::Text(_)
        | Value::Integer(_)
        | Value::Boolean(_)
        | Value::Time(_)
        | Value::Float(_)
        | Value::Table(_) => None,
    }
}

fn sorted(requested_keys: &[&str]) -> String {
    let mut requested_keys = requested_keys.to_vec();
    requested_keys.sort_unstable();
    requested_keys.join(", ")
}
