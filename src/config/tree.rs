//! What was written, and where: the values of every file and variable before anyone asks what they
//! mean. Built by `source` and `overlay`, read by `section`.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// In a file, so many bytes from its beginning.
    File {
        /// Which document, in the order in which they were read.
        document: usize,
        /// Bytes.
        offset: usize,
    },
    /// In an environment variable, by the order in which they were read.
    Variable(usize),
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where its name stands; where it has none, where it stands itself.
    pub(super) name: Source,
    /// Where it stands.
    pub(super) origin: Source,
    /// What it is.
    pub(super) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text.
    Text(String),
    /// A whole number that fits; none where it does not.
    Integer(Option<i64>),
    /// True or false.
    Boolean(bool),
    /// A kind of value that no setting takes.
    Other,
    /// Some values.
    List(Vec<Node>),
    /// Named values.
    Table(Table),
    /// The text of a variable: a value of whatever kind is asked for.
    Untyped(String),
}

/// Values by name.
pub(super) type Table = BTreeMap<Box<str>, Node>;

// === impl Node ===

impl Node {
    /// From a parsed document, or from a value in one.
    pub(super) fn from_toml(value: Spanned<DeValue<'_>>, at: impl Fn(usize) -> Source + Copy) -> Self {
        let origin = at(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Boolean(yes) => Value::Boolean(yes),
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
            DeValue::Array(values) => {
                Value::List(values.into_iter().map(|v| Self::from_toml(v, at)).collect())
            }
            DeValue::Table(table) => Value::Table(from_toml(table, at)),
        };
        Self { name: origin, origin, value }
    }
}

/// From a parsed table.
pub(super) fn from_toml(table: DeTable<'_>, at: impl Fn(usize) -> Source + Copy) -> Table {
    let named = |(name, value): (Spanned<DeString<'_>>, _)| {
        let mut node = Node::from_toml(value, at);
        node.name = at(name.span().start);
        (Box::from(name.into_inner().as_ref()), node)
    };
    table.into_iter().map(named).collect()
}
