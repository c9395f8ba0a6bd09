//! `logkey version`: which version this is, and what it contains.

use std::process::ExitCode;

use clap::Args;
use logkey_client::output::{Column, OutputArgs, Report, Table, print};
use serde_json::json;

use super::runtime::exit_code;
use crate::server::DOMAIN;

/// The arguments of `logkey version`.
#[derive(Args, Debug)]
pub(super) struct VersionArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the subcommand.
pub(super) fn run(args: &VersionArgs) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    let sandbox = cfg!(feature = "sandbox");
    let columns = [Column::new("version"), Column::new("api"), Column::new("sandbox")];
    let mut table = Table::new(&columns, "").hidden();
    table.push([version.to_owned(), DOMAIN.to_owned(), sandbox.to_string()]);
    let document = json!({ "version": version, "api": DOMAIN, "sandbox": sandbox });
    exit_code(print(&Report::new(document, table).notes([format!("logkey {version}")]), &args.output))
}
