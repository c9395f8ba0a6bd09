//! What the commands share: their options and how they write values.

use clap::Args;

use crate::{connection::ConnectionArgs, failure::Failure, output::OutputArgs, session::Session};

/// The options of every command that calls the service.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ServiceArgs {
    pub(crate) fn open(&self) -> Result<Session, Failure> {
        Session::open(&self.connection)
    }
}

/// A time in RFC 3339, to the second; empty if it is absent.
pub(crate) fn time(time: Option<&prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| jiff::Timestamp::from_second(time.seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}
