//! Tables that fit the terminal.

use comfy_table::{ContentArrangement, presets};

use super::report::{Detail, Report, Table, Visibility};

/// How many spaces follow a column.
const SPACES: usize = 2;

/// Renders the details, the table and the notes. `width`: the columns of the terminal; absent, lines are as long
/// as they must be.
pub(super) fn render(report: &Report, wide: bool, width: Option<u16>) -> String {
    let left_out = if wide { Visibility::Narrow } else { Visibility::Wide };
    let mut details = report.details.clone();
    if report.is_record {
        details.extend(record(&report.table, left_out));
    }
    let table = if report.is_record || report.table.hidden {
        String::new()
    } else if report.table.rows.is_empty() {
        wrap(report.table.empty, width)
    } else {
        lines(&rows(&fitting(&report.table, left_out, width), left_out), width)
    };
    let details = lines(&pairs(&details), width);
    let notes = report.notes.iter().map(|note| wrap(note, width)).collect::<Vec<_>>().join("\n");
    [details, table, notes].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// Escapes characters that a terminal could execute as a command.
#[must_use]
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, it| {
        if it.is_control() {
            escaped.extend(it.escape_unicode());
        } else {
            escaped.push(it);
        }
        escaped
    })
}

/// The table without the optional columns that the terminal has no room for.
fn fitting(table: &Table, left_out: Visibility, width: Option<u16>) -> Table {
    let mut table = table.clone();
    let Some(width) = width else { return table };
    loop {
        let shown = table.columns.iter().enumerate().filter(|(_, column)| column.is_in(left_out));
        let widths = shown.map(|(at, column)| {
            let cells = table.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.fold(column.title().chars().count(), usize::max) + SPACES
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

/// The row of a record, without empty values.
fn record(table: &Table, left_out: Visibility) -> Vec<Detail> {
    let cells = table.columns.iter().zip(table.rows.iter().flatten());
    let shown = cells.filter(|(column, cell)| column.is_in(left_out) && !cell.is_empty());
    shown.map(|(column, cell)| Detail { name: column.title(), value: cell.clone() }).collect()
}

fn pairs(details: &[Detail]) -> comfy_table::Table {
    let mut table = plain();
    for Detail { name, value } in details {
        table.add_row([name.clone(), escape(value)]);
    }
    table
}

fn rows(rows: &Table, left_out: Visibility) -> comfy_table::Table {
    let mut table = plain();
    let columns = rows.columns.iter().filter(|column| column.is_in(left_out));
    table.set_header(columns.map(|column| column.title()));
    for row in &rows.rows {
        let cells = rows.columns.iter().zip(row).filter(|(column, _)| column.is_in(left_out));
        table.add_row(cells.map(|(_, cell)| if cell.is_empty() { "-".to_owned() } else { escape(cell) }));
    }
    table
}

fn plain() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn lines(table: &comfy_table::Table, width: Option<u16>) -> String {
    let mut table = table.clone();
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if let Some(width) = width {
        // The two spaces after the last column are cut off below.
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.saturating_add(2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Breaks a sentence between words.
fn wrap(text: &str, width: Option<u16>) -> String {
    let mut table = plain();
    for line in text.lines() {
        table.add_row([escape(line)]);
    }
    lines(&table, width)
}
