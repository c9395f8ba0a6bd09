//! A connection to the service, with the token of the caller.

use std::time::Duration;

use tonic::{Request, Status, transport::Channel};

use super::retry;
use crate::{
    connection::{args::ConnectionArgs, bearer::Token, channel::channel, token::TokenSource},
    failure::Failure,
};

/// A connection to the service, with the token of the caller.
#[derive(Debug)]
pub struct Session {
    pub(super) server: String,
    pub(super) channel: Channel,
    pub(super) token: TokenSource,
    pub(super) timeout: Duration,
}

impl Session {
    /// Prepares the connection. It opens with the first call.
    ///
    /// # Errors
    ///
    /// If an option is missing or invalid.
    pub fn open(args: &ConnectionArgs) -> Result<Self, Failure> {
        let connection = args.resolve()?;
        let channel = channel(&connection)?;
        let server = connection.server.to_string();
        Ok(Self { server, channel, token: connection.token, timeout: args.timeout })
    }

    /// The failure of a call or of a stream.
    pub(super) fn failure(&self, status: Status) -> Failure {
        if retry::is_broken_connection(&status) {
            Failure::Unreachable { server: self.server.clone(), cause: retry::root_cause(&status) }
        } else {
            Failure::Refused(Box::new(status))
        }
    }
}

/// A request with the token.
pub(super) fn request<M>(message: M, token: &Token) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.authorization());
    request
}
