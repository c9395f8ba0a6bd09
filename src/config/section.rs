//! One table of settings, asked key by key. What is asked for is what is known: when a section is
//! let go, every key that nobody asked for is a fault.

use std::{borrow::Cow, cell::RefCell, path::PathBuf};

use toml::de::DeValue;

use super::{
    reader::Reader,
    tree::{Node, Source, Table, Value},
    value::{self, ValueError},
};

/// One table of settings.
#[derive(Debug)]
pub(super) struct Section<'t> {
    /// Its name, such as `auth.issuers[0]`; empty for the whole document.
    name: String,
    /// Where its first line stands.
    at: Source,
    table: Option<&'t Table>,
    reader: &'t Reader,
    known_keys: RefCell<Vec<&'static str>>,
}

// === impl Section ===

impl<'t> Section<'t> {
    /// A whole document.
    pub(super) fn root(at: Source, table: &'t Table, reader: &'t Reader) -> Self {
        Self { name: String::new(), at, table: Some(table), reader, known_keys: RefCell::default() }
    }

    /// Whoever hears of faults.
    pub(super) fn reader(&self) -> &'t Reader {
        self.reader
    }

    /// The whole name of a key in it.
    pub(super) fn name_of(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// Where the key's value stands; where it is absent, where the section begins.
    pub(super) fn location_of(&self, key: &'static str) -> Source {
        self.find(key).map_or(self.at, |node| node.origin)
    }

    /// Tells a fault of a key.
    pub(super) fn report(&self, key: &'static str, what: &str) {
        self.reader.diagnostic(self.location_of(key), format!("{} {what}", self.name_of(key)));
    }

    /// Tells that a key works and should not be left so.
    pub(super) fn warn(&self, key: &'static str, what: &str) {
        self.reader.warn(self.location_of(key), format!("{} {what}", self.name_of(key)));
    }

    /// The value, where the key is there and the value can be used.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> Option<T> {
        let node = self.find(key)?;
        parse(node).map_err(|wrong| self.report(key, &wrong)).ok()
    }

    /// The value, or the default.
    pub(super) fn or_default<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Node) -> Result<T, ValueError>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The value; its absence is a fault, told with an example.
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

    /// Tells that the key is missing.
    pub(super) fn missing(&self, key: &'static str, example: &str) {
        self.report(key, &format!("is required: write for example {key} = {example}"));
    }

    /// As [`Section::any`], but a list that is there must hold something.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        let empty = self.find(key).and_then(quote_list).is_some_and(|values| values.is_empty());
        if empty {
            self.report(key, "is an empty list: name at least one, or leave the key away");
        }
        self.list_of(key, parse)
    }

    /// The values of a list, where the key is there; each bad one is a fault of its own.
    pub(super) fn list_of<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        let node = self.find(key)?;
        let Some(values) = quote_list(node) else {
            self.report(key, "is not a list: write for example [\"one\", \"two\"]");
            return None;
        };
        let mut all = Vec::with_capacity(values.len());
        for (index, node) in values.iter().enumerate() {
            match parse(node) {
                Ok(value) => all.push(value),
                Err(wrong) => {
                    self.reader.diagnostic(node.origin, format!("{}[{index}] {wrong}", self.name_of(key)));
                }
            }
        }
        Some(all)
    }

    /// As [`Section::list`]; the absence of the key is a fault, told with an example.
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

    /// A path, as it stands in its file.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        let text = self.optional(key, value::text)?;
        Some(self.reader.resolve(self.location_of(key), &text))
    }

    /// The table of that name; where it is absent, an empty one.
    pub(super) fn section(&self, key: &'static str) -> Section<'t> {
        self.is_set(key).unwrap_or_else(|| self.child(self.name_of(key), self.at, None))
    }

    /// The table of that name, where it is there.
    pub(super) fn is_set(&self, key: &'static str) -> Option<Section<'t>> {
        let node = self.find(key)?;
        if let Value::Table(table) = &node.value {
            return Some(self.child(self.name_of(key), node.origin, Some(table)));
        }
        self.report(key, &format!("is not a table: write [{}] on a line of its own", self.name_of(key)));
        None
    }

    /// The tables of that name.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'t>> {
        self.sections_after(0, key)
    }

    /// The same, of a document that is read in parts: counted on from those `before`.
    pub(super) fn sections_after(&self, before: usize, key: &'static str) -> Vec<Section<'t>> {
        let name = self.name_of(key);
        let Some(node) = self.find(key) else { return Vec::new() };
        let Value::List(nodes) = &node.value else {
            self.report(key, &format!("is not a list of tables: write [[{name}]] on a line of its own"));
            return Vec::new();
        };
        let table = |(index, node): (usize, &'t Node)| {
            let name = format!("{name}[{}]", before + index);
            if let Value::Table(table) = &node.value {
                Some(self.child(name, node.origin, Some(table)))
            } else {
                self.reader.diagnostic(node.origin, format!("{name} is not a table"));
                None
            }
        };
        nodes.iter().enumerate().filter_map(table).collect()
    }

    fn child(&self, name: String, at: Source, table: Option<&'t Table>) -> Section<'t> {
        Section { name, at, table, reader: self.reader, known_keys: RefCell::default() }
    }

    fn find(&self, key: &'static str) -> Option<&'t Node> {
        let mut known_keys = self.known_keys.borrow_mut();
        if !known_keys.contains(&key) {
            known_keys.push(key);
            #[cfg(test)]
            self.reader.mark_known(&self.name_of(key));
        }
        self.table?.get(key)
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let known_keys = self.known_keys.borrow();
        for (key, node) in self.table.into_iter().flatten() {
            if known_keys.contains(&key.as_ref()) {
                continue;
            }
            let advice = if key.as_ref() == "tenants_dir" {
                "it belongs at the top of the file, above the first [table]".to_owned()
            } else {
                match did_you_mean(key, &known_keys) {
                    Some(near) => format!("did you mean {}?", self.name_of(near)),
                    None => format!("known here: {}", sorted(&known_keys)),
                }
            };
            self.reader.diagnostic(node.name, format!("{} is not a setting: {advice}", self.name_of(key)));
        }
    }
}

/// The elements of a list. A variable holds them as TOML has them, or with commas between.
fn quote_list(node: &Node) -> Option<Cow<'_, [Node]>> {
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
        Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Other | Value::Table(_) => None,
    }
}

/// The known key that was probably meant: at most a third of its letters differ.
fn did_you_mean(key: &str, known_keys: &[&'static str]) -> Option<&'static str> {
    let distance = |known_keys: &&str| strsim::damerau_levenshtein(key, known_keys);
    let best = known_keys.iter().copied().min_by_key(|known_keys| distance(known_keys))?;
    (distance(&best) <= (best.len() / 3).max(1)).then_some(best)
}

fn sorted(known_keys: &[&str]) -> String {
    let mut known_keys = known_keys.to_vec();
    known_keys.sort_unstable();
    known_keys.join(", ")
}
