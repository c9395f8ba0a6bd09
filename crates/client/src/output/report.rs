//! A report: the same data as a document and as a table.

use serde_json::Value;

use super::note::Note;

/// What a command prints.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The document, for `json` and `yaml`.
    pub document: Value,
    /// What is said once, above the table: names and values. Only in tables.
    pub details: Vec<Detail>,
    /// The rows, for every other form.
    pub table: Table,
    /// Whether the table has one row that tables show as names and values.
    pub is_record: bool,
    /// What `name` prints instead of a column.
    pub name: Option<String>,
    /// What stands below the table. Only in tables.
    pub notes: Vec<Note>,
}

/// A name and its value.
#[derive(Clone, Debug)]
pub struct Detail {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Rows with named columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
    /// The column that `name` prints.
    pub(super) name: usize,
    /// What a table without rows says.
    pub(super) empty: &'static str,
    /// Whether the notes say the same, so that only other forms print the rows.
    pub(super) hidden: bool,
}

/// A column. Its key is the header of CSV; in upper case, the header of the table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(super) key: &'static str,
    pub(super) visibility: Visibility,
}

/// The forms that have a column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Visibility {
    Everywhere,
    /// `table` only: a short form of another column.
    Narrow,
    /// Every form except `table`.
    Wide,
    /// Every form, but `table` only if the terminal has room for it.
    IfItFits,
}

impl Column {
    /// A column of every form.
    #[must_use]
    pub const fn new(key: &'static str) -> Self {
        Self { key, visibility: Visibility::Everywhere }
    }

    /// A column of the forms `wide` and `csv` only.
    #[must_use]
    pub const fn wide(key: &'static str) -> Self {
        Self { key, visibility: Visibility::Wide }
    }

    /// A column of the form `table` only, where a column of the other forms is too wide.
    #[must_use]
    pub const fn narrow(key: &'static str) -> Self {
        Self { key, visibility: Visibility::Narrow }
    }

    /// A column of every form, but of `table` only if the terminal has room for it. The last such columns are left
    /// out first.
    #[must_use]
    pub const fn optional(key: &'static str) -> Self {
        Self { key, visibility: Visibility::IfItFits }
    }

    pub(super) fn is_in(self, left_out: Visibility) -> bool {
        self.visibility != left_out
    }

    /// The header in a table.
    pub(super) fn title(self) -> String {
        self.key.to_uppercase().replace('_', " ")
    }
}

impl Table {
    /// A table without rows. `empty` is what it says as long as it has none.
    #[must_use]
    pub fn new(columns: &[Column], empty: &'static str) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), name: 0, empty, hidden: false }
    }

    /// Makes `-o name` print the column with this key instead of the first one.
    #[must_use]
    pub fn named_by(mut self, key: &str) -> Self {
        self.name = self.columns.iter().position(|column| column.key == key).unwrap_or_default();
        self
    }

    /// Leaves the rows out of tables, because the notes say the same.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Adds a row: one cell for each column.
    pub fn push<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "one cell for each column");
        self.rows.push(cells.into());
    }
}

impl Report {
    /// A report of a document and its rows.
    #[must_use]
    pub fn new(document: Value, table: Table) -> Self {
        Self { document, table, ..Self::default() }
    }

    /// Makes `-o name` print this name instead of a column.
    #[must_use]
    pub fn one_name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Shows the only row as names and values.
    #[must_use]
    pub fn as_record(mut self) -> Self {
        self.is_record = true;
        self
    }

    /// Adds a value above the table. An empty one is left out.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.details.push(Detail { name: name.to_owned(), value });
        }
        self
    }

    /// Adds what stands below the table.
    #[must_use]
    pub fn notes(mut self, notes: impl IntoIterator<Item = impl Into<Note>>) -> Self {
        self.notes.extend(notes.into_iter().map(Into::into));
        self
    }
}
