//! Prints rows one by one, because nobody knows how many will follow.

use std::io;

use super::{
    args::{Format, OutputArgs},
    print::{print_text, render},
    report::Report,
};

/// Prints rows as they come, each as soon as it is there.
#[derive(Debug)]
pub struct RowPrinter {
    format: Option<Format>,
    is_first: bool,
}

// === impl RowPrinter ===

impl RowPrinter {
    /// A printer for the form that the arguments ask for.
    #[must_use]
    pub fn new(args: &OutputArgs) -> Self {
        Self { format: args.format(), is_first: true }
    }

    /// Whether lines for people have everything, however wide they are.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.format == Some(Format::Wide)
    }

    /// Prints the row of a report with one row: for people this line, in JSON a document on one line.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written, also because its reader closed it.
    pub fn print(&mut self, row: &Report, line: &str) -> io::Result<()> {
        let Some(format) = self.format else { return Ok(()) };
        let is_first = std::mem::take(&mut self.is_first);
        let text = match format {
            Format::Table | Format::Wide => line.to_owned(),
            Format::Json => row.document.to_string(),
            Format::Yaml => format!("---\n{}", render(row, format)?),
            Format::Csv => {
                let text = render(row, format)?;
                match text.split_once('\n') {
                    Some((_header, rows)) if !is_first => rows.to_owned(),
                    Some(_) | None => text,
                }
            }
            Format::Name => render(row, format)?,
        };
        print_text(&text)
    }
}
