//! The options `-o` and `--quiet`.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};

/// The options of every command that prints data.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The form of the output
    #[arg(id = "output", short = 'o', long = "output", value_enum, value_name = "FORMAT", global = true)]
    format: Option<Format>,
    /// Print only errors, and the data if `-o` is given
    #[arg(long, short = 'q', global = true)]
    quiet: bool,
}

/// The forms of the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// Columns that fit the terminal
    Table,
    /// Columns with everything, however wide
    Wide,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// Comma-separated values with a header
    Csv,
    /// One name on each line
    Name,
}

impl From<Format> for OutputArgs {
    fn from(format: Format) -> Self {
        Self { format: Some(format), quiet: false }
    }
}

impl OutputArgs {
    /// The form to print. `None`: nothing.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        self.format.or((!self.quiet).then_some(Format::Table))
    }

    /// Whether hints are wanted beside the data.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether standard error shows the progress of a command: on a terminal, and not beside a document for a program.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        let is_document = matches!(self.format, Some(Format::Json | Format::Yaml | Format::Csv));
        !is_document && !self.quiet && io::stderr().is_terminal()
    }
}
