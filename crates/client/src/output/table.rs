//! Tables that fit the terminal.

use comfy_table::{ContentArrangement, presets};

use super::report::{Detail, Report, Table};

/// Renders the details, the table and the notes. `width`: the columns of the terminal; absent, lines are as long
/// as they must be.
pub(super) fn render(report: &Report, wide: bool, width: Option<u16>) -> String {
    let details = lines(&details(&report.details), width);
    let table = match (report.table.rows.is_empty(), report.table.columns.is_empty()) {
        (_, true) => String::new(),
        (true, false) => report.table.empty.to_owned(),
        (false, false) => lines(&rows(&report.table, wide), width),
    };
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

fn details(details: &[Detail]) -> comfy_table::Table {
    let mut table = plain();
    for Detail { name, value } in details {
        table.add_row([(*name).to_owned(), escape(value)]);
    }
    table
}

fn rows(rows: &Table, wide: bool) -> comfy_table::Table {
    let shown = |index: usize| rows.columns.get(index).is_some_and(|column| wide || !column.wide);
    let mut table = plain();
    let titles = rows.columns.iter().map(|column| column.key.to_uppercase().replace('_', " "));
    table.set_header(titles.enumerate().filter(|(index, _)| shown(*index)).map(|(_, title)| title));
    for row in &rows.rows {
        let cells = row.iter().enumerate().filter(|(index, _)| shown(*index));
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
