//! Tables that fit the terminal.

use comfy_table::{ColumnConstraint, ContentArrangement, Width, presets};

use super::report::{Detail, Report, Table, Visibility};

/// How many spaces follow a column.
const SPACES: usize = 2;

/// The longest word that is never broken, in characters: a state, a reason, a time. An ARN may be.
const MAX_UNBROKEN: usize = 30;
/// The narrowest column of longer words.
const MIN_BROKEN: usize = 18;

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
        let columns = rows(&fitting(&report.table, left_out, width), left_out);
        if has_room(&min_widths(&columns), width) {
            lines(&columns, width)
        } else {
            stacked(&report.table, left_out, width)
        }
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

/// Whether columns of these widths fit. The spaces after the last one are cut off.
fn has_room(widths: &[usize], width: Option<u16>) -> bool {
    width.is_none_or(|width| widths.iter().sum::<usize>() <= usize::from(width) + SPACES)
}

/// The narrowest columns, spaces included, in which lines break only between words, or within long ones.
fn min_widths(table: &comfy_table::Table) -> Vec<usize> {
    let mut widths: Vec<usize> = Vec::new();
    for row in table.header().into_iter().chain(table.row_iter()) {
        for (at, cell) in row.cell_iter().enumerate() {
            let width = min_width(&cell.content()) + SPACES;
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    widths
}

fn min_width(text: &str) -> usize {
    let words = text.split_whitespace().map(|word| word.chars().count());
    words.map(|length| if length <= MAX_UNBROKEN { length } else { MIN_BROKEN }).max().unwrap_or_default()
}

/// The rows as records, one below the other, for terminals without room for the columns.
fn stacked(table: &Table, left_out: Visibility, width: Option<u16>) -> String {
    let mut details = Vec::new();
    for row in &table.rows {
        if !details.is_empty() {
            details.push(Detail { name: String::new(), value: String::new() });
        }
        details.extend(record(table, row, left_out));
    }
    lines(&pairs(&details), width)
}

/// A row as names and values, without empty values.
fn record(table: &Table, row: &[String], left_out: Visibility) -> Vec<Detail> {
    let cells = table.columns.iter().zip(row);
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
    let widths = min_widths(&table);
    let is_possible = has_room(&widths, width);
    for (column, min) in table.column_iter_mut().zip(widths) {
        column.set_padding((0, 2));
        if is_possible {
            let min = Width::Fixed(u16::try_from(min).unwrap_or(u16::MAX));
            column.set_constraint(ColumnConstraint::LowerBoundary(min));
        }
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
