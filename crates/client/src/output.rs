//! What commands print: one report, as a table for people or as a document for programs. The commands that do
//! not call the service use it too.

mod args;
mod json;
mod layout;
mod note;
mod print;
mod report;
mod stream;
mod table;

pub use self::{
    args::{Format, OutputArgs},
    json::{time, to_json},
    layout::escape,
    note::{Note, remedy, without_location},
    print::{is_closed_pipe, print, print_note, print_text, terminal_width},
    report::{Column, Report, Table},
    stream::RowPrinter,
};

#[cfg(test)]
mod tests;
