//! The values of every file and variable, each with its source, before they are interpreted. `reader` and
//! `env_overlay` build the tree; `section` reads it.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// The place of a name or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A position in a file.
    File {
        /// The index of the document, in reading order.
        document: usize,
        /// The number of bytes before it in the file.
        offset: usize,
    },
    /// An environment variable, by its index in reading order.
    Variable(usize),
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The source of its name; if it has none, the source of the value.
    pub(super) name: Source,
    /// The source of the value.
    pub(super) origin: Source,
    /// The value.
    pub(super) value: Value,
}

/// A value before it is interpreted.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// An integer; `None` if it does not fit into 64 bits.
    Integer(Option<i64>),
    /// A Boolean.
    Boolean(bool),
    /// A date or a time.
    Time(String),
    /// A float; `None` if it does not fit into 64 bits.
    Float(Option<f64>),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(Table),
    /// The text of a variable; the setting determines its type.
    Untyped(String),
}

/// Values by name.
pub(super) type Table = BTreeMap<Box<str>, Node>;

// === impl Node ===

impl Node {
    /// Converts a parsed TOML value; `at` turns a byte offset into a source.
    pub(super) fn from_toml(value: Spanned<DeValue<'_>>, at: impl Fn(usize) -> Source + Copy) -> Self {
        let origin = at(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Boolean(yes) => Value::Boolean(yes),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Float(number) => Value::Float(number.as_str().parse().ok()),
            DeValue::Array(values) => {
                Value::List(values.into_iter().map(|v| Self::from_toml(v, at)).collect())
            }
            DeValue::Table(table) => Value::Table(from_toml(table, at)),
        };
        Self { name: origin, origin, value }
    }
}

/// Converts a parsed TOML table; `at` turns a byte offset into a source.
pub(super) fn from_toml(table: DeTable<'_>, at: impl Fn(usize) -> Source + Copy) -> Table {
    let named = |(name, value): (Spanned<DeString<'_>>, _)| {
        let mut node = Node::from_toml(value, at);
        node.name = at(name.span().start);
        (Box::from(name.into_inner().as_ref()), node)
    };
    table.into_iter().map(named).collect()
}
