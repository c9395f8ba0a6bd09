//! Tables that fit the terminal. Where the columns have no room, each row is a record, as in the expanded format of
//! psql.

use super::{
    layout::{SPACES, behind, columns, escape, width_of, wrap},
    report::{Detail, Report, Table, Visibility},
};

/// How far a value is indented that is below its name.
const INDENT: &str = "  ";

/// Renders the details, the table and the notes. `width`: the columns of the terminal; absent, lines are as long
/// as they must be.
pub(super) fn render(report: &Report, wide: bool, width: Option<u16>) -> String {
    let left_out = if wide { Visibility::Narrow } else { Visibility::Wide };
    let mut details = report.details.clone();
    if report.is_record {
        details.extend(report.table.rows.iter().flat_map(|row| record(&report.table, row, left_out)));
    }
    let table = if report.is_record || report.table.hidden {
        String::new()
    } else if report.table.rows.is_empty() {
        wrap(report.table.empty, width)
    } else {
        let rows = rows(&fitting(&report.table, left_out, width), left_out);
        columns(&rows, width).unwrap_or_else(|| records(&report.table, left_out, width))
    };
    let mut notes: Vec<String> = report.notes.iter().map(|note| note.render(width)).collect();
    // That a statement is too wide is said once for all of them.
    notes.dedup();
    let parts = [pairs(&details, width), table, notes.join("\n")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The table without the optional columns that the terminal has no room for.
fn fitting(table: &Table, left_out: Visibility, width: Option<u16>) -> Table {
    let mut table = table.clone();
    let Some(width) = width else { return table };
    loop {
        let shown = table.columns.iter().enumerate().filter(|(_, column)| column.is_in(left_out));
        let widths = shown.map(|(at, column)| {
            let cells = table.rows.iter().filter_map(|row| row.get(at)).map(|cell| width_of(&escape(cell)));
            cells.fold(width_of(&column.title()), usize::max) + SPACES
        });
        if widths.sum::<usize>() <= usize::from(width) + SPACES {
            return table;
        }
        let last = table.columns.iter().rposition(|column| column.visibility == Visibility::IfItFits);
        let Some(last) = last else { return table };
        table.columns.remove(last);
        for row in table.rows.iter_mut().filter(|row| row.len() > last) {
            row.remove(last);
        }
    }
}

/// The header and the rows.
fn rows(table: &Table, left_out: Visibility) -> Vec<Vec<String>> {
    let shown = || table.columns.iter().filter(|column| column.is_in(left_out));
    let cell = |cell: &String| if cell.is_empty() { "-".to_owned() } else { escape(cell) };
    let mut rows = vec![shown().map(|column| column.title()).collect()];
    rows.extend(table.rows.iter().map(|row| {
        let cells = table.columns.iter().zip(row).filter(|(column, _)| column.is_in(left_out));
        cells.map(|(_, text)| cell(text)).collect()
    }));
    rows
}

/// The rows as records, one below the other.
fn records(table: &Table, left_out: Visibility, width: Option<u16>) -> String {
    let records = table.rows.iter().map(|row| pairs(&record(table, row, left_out), width));
    records.collect::<Vec<_>>().join("\n\n")
}

/// A row as names and values, without empty values.
fn record(table: &Table, row: &[String], left_out: Visibility) -> Vec<Detail> {
    let cells = table.columns.iter().zip(row);
    let shown = cells.filter(|(column, cell)| column.is_in(left_out) && !cell.is_empty());
    shown.map(|(column, cell)| Detail { name: column.title(), value: cell.clone() }).collect()
}

/// Names with their values behind them. A value that has no room there is below its name.
fn pairs(details: &[Detail], width: Option<u16>) -> String {
    let names = details.iter().map(|it| width_of(&it.name)).max().unwrap_or_default() + SPACES;
    let lines = details.iter().map(|Detail { name, value }| {
        let value = escape(value);
        let below = || format!("{name}\n{}", wrap(&format!("{INDENT}{value}"), width));
        behind(name, &value, names, width).unwrap_or_else(below)
    });
    lines.collect::<Vec<_>>().join("\n")
}
