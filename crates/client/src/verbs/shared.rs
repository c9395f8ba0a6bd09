//! What the commands share: their options and how they write values.

use std::fmt::Display;

use clap::Args;

pub(crate) use crate::output::time;
use crate::{connection::ConnectionArgs, failure::Failure, output::OutputArgs, session::Session};

/// How many entries one page asks for: the maximum of the service.
pub(super) const PAGE_SIZE: i32 = 500;

/// The options of every command that calls the service.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The account and the Region of a call.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LocationArgs {
    /// The twelve-digit AWS account. Not needed if the tenant has only one
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// The AWS Region. Not needed if the tenant has only one in the account
    #[arg(long)]
    pub(crate) region: Option<String>,
}

impl ServiceArgs {
    pub(crate) fn open(&self) -> Result<Session, Failure> {
        Session::open(&self.connection)
    }
}

/// Reads every page. `page` takes the token of a page and returns its entries and the token of the next one.
pub(super) async fn pages<T>(
    mut page: impl AsyncFnMut(String) -> Result<Page<T>, Failure>,
) -> Result<Vec<T>, Failure> {
    let (mut entries, mut token) = (Vec::new(), String::new());
    loop {
        let next = page(token).await?;
        entries.extend(next.entries);
        token = next.next_token;
        if token.is_empty() {
            return Ok(entries);
        }
    }
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) entries: Vec<T>,
    pub(super) next_token: String,
}

/// The name of an enum value without the prefix of its enum; empty for the value that is not set.
pub(super) fn short_name(name: &str, prefix: &str) -> String {
    let short = name.strip_prefix(prefix).unwrap_or(name);
    if short == "UNSPECIFIED" { String::new() } else { short.to_owned() }
}

/// The last part of a key's ARN.
pub(super) fn short_key(arn: &str) -> String {
    arn.rsplit_once(":key/").map_or(arn, |(_, id)| id).to_owned()
}

/// A note on standard error, unless `--quiet` is given.
pub(super) fn hint(output: &OutputArgs, text: &dyn Display) {
    if !output.is_quiet() {
        // A note that nobody can read is no failure.
        let _ignored = std::io::Write::write_fmt(&mut anstream::stderr().lock(), format_args!("{text}\n"));
    }
}

/// Names the request id where the same request can succeed later, so that it is not made twice.
pub(super) fn repeatable(failure: Failure, request_id: &str) -> Failure {
    if failure.can_pass() {
        let hint = format!("To repeat the same request, add --request-id {request_id}");
        Failure::WithHint { failure: Box::new(failure), hint }
    } else {
        failure
    }
}
