//! Prints a report on standard output.

use std::io::{self, IsTerminal as _, Write as _};

use terminal_size::{Width, terminal_size_of};

use super::{
    args::{Format, OutputArgs},
    layout::escape,
    report::{Report, Table, Visibility},
    table,
};

/// Prints a report in the form that the arguments ask for.
///
/// # Errors
///
/// If standard output cannot be written, also because its reader closed it: see [`is_closed_pipe`].
pub fn print(report: &Report, args: &OutputArgs) -> io::Result<()> {
    match args.format() {
        None => Ok(()),
        Some(format) => match render(report, format)? {
            // Nothing to say, such as the names of no rows.
            text if text.is_empty() => Ok(()),
            text => print_text(&text),
        },
    }
}

/// Prints a text with a line break at its end. Colours are removed unless a terminal shows them.
///
/// # Errors
///
/// As [`print()`].
pub fn print_text(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    if !text.is_empty() {
        writeln!(out, "{}", text.strip_suffix('\n').unwrap_or(text))?;
    }
    out.flush()
}

/// Prints a line on standard error: what a person must do before the command goes on.
///
/// # Errors
///
/// If standard error cannot be written.
pub fn print_note(text: &str) -> io::Result<()> {
    writeln!(anstream::stderr().lock(), "{text}")
}

/// Whether an output ended because its reader closed the pipe, as `head` does.
#[must_use]
pub fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

pub(super) fn render(report: &Report, format: Format) -> io::Result<String> {
    match format {
        Format::Table => Ok(table::render(report, false, terminal_width())),
        Format::Wide => Ok(table::render(report, true, None)),
        Format::Json => Ok(serde_json::to_string_pretty(&report.document)?),
        Format::Yaml => serde_saphyr::to_string(&report.document).map_err(io::Error::other),
        Format::Csv => csv(&report.table),
        Format::Name => {
            let rows = report.table.rows.iter().filter_map(|row| row.get(report.table.name));
            let names = report.name.as_ref().map_or_else(|| rows.collect(), |name| vec![name]);
            Ok(names.into_iter().map(|name| escape(name) + "\n").collect())
        }
    }
}

/// The columns of the terminal, if standard output is one.
#[must_use]
pub fn terminal_width() -> Option<u16> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| terminal_size_of(out)).flatten();
    size.map(|(Width(width), _)| width).filter(|width| *width > 0)
}

fn csv(table: &Table) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let shown = |index: usize| table.columns.get(index).is_some_and(|it| it.is_in(Visibility::Narrow));
    writer.write_record(table.columns.iter().filter(|it| it.is_in(Visibility::Narrow)).map(|it| it.key))?;
    for row in &table.rows {
        let cells = row.iter().enumerate().filter(|(index, _)| shown(*index));
        writer.write_record(cells.map(|(_, cell)| without_formula(cell)))?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A spreadsheet runs a cell that begins like a formula. An apostrophe makes it a text:
/// <https://owasp.org/www-community/attacks/CSV_Injection>.
pub(super) fn without_formula(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    if is_formula { format!("'{cell}") } else { cell.to_owned() }
}

// === impl Report ===

impl Report {
    /// The report as a table of any width.
    #[must_use]
    pub fn to_text(&self) -> String {
        table::render(self, false, None)
    }
}
