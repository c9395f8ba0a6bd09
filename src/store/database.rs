//! Runs the statements that both databases understand.

use crate::ports::Unavailable;

use super::columns::Columns;

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Param<'p> {
    Number(i64),
    Text(&'p str),
    /// A number or null.
    OptionalNumber(Option<i64>),
    /// A text or null.
    OptionalText(Option<&'p str>),
}

/// A database that runs statements with a limited wait.
pub(super) trait Database: Sync {
    type Row: Columns + Send + Sync;

    /// All rows of a statement, whose parameters are `$1`, `$2` and so on.
    fn rows(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, Unavailable>> + Send;
}

/// Binds parameters to a query of either database.
macro_rules! bind_all {
    ($query:expr, $params:expr) => {
        $params.iter().fold($query, |query, param| match *param {
            Param::Number(number) => query.bind(number),
            Param::Text(text) => query.bind(text.to_owned()),
            Param::OptionalNumber(number) => query.bind(number),
            Param::OptionalText(text) => query.bind(text.map(str::to_owned)),
        })
    };
}
pub(super) use bind_all;

// === impl Param ===

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Option<i64>> for Param<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::OptionalNumber(number)
    }
}

impl<'p> From<Option<&'p str>> for Param<'p> {
    fn from(text: Option<&'p str>) -> Self {
        Self::OptionalText(text)
    }
}

impl<'p> From<&'p str> for Param<'p> {
    fn from(text: &'p str) -> Self {
        Self::Text(text)
    }
}
