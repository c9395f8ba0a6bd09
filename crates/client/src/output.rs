//! What commands print: one report, as a table for people or as a document for programs. The commands that do
//! not call the service use it too.

mod args;
mod json;
mod print;
mod report;
mod table;

pub use self::{
    args::{Format, OutputArgs},
    json::{time, to_json},
    print::{is_closed_pipe, print, print_note, print_text},
    report::{Column, Report, Table},
    table::escape,
};

#[cfg(test)]
mod tests;
