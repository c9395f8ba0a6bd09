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
        let is_broken = retry::is_broken_connection(&status);
        let cause = if is_broken { retry::root_cause(&status) } else { status.message().to_owned() };
        let advice = advice(&self.server, &cause, is_broken);
        let failure = if is_broken {
            Failure::Unreachable { server: self.server.clone(), cause }
        } else {
            Failure::Refused(Box::new(status))
        };
        match advice {
            None => failure,
            Some(hint) => Failure::WithHint { failure: Box::new(failure), hint: hint.to_owned() },
        }
    }
}

/// What to do about a connection that was made to something else than the URL says.
fn advice(server: &str, cause: &str, is_broken: bool) -> Option<&'static str> {
    let names = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    match (server.starts_with("https:"), is_broken) {
        // What tonic says of an answer that is no gRPC.
        (_, false) => names(&["grpc-status header missing"])
            .then_some("The server there speaks no gRPC: name the port that \"server.listen\" sets."),
        // rustls: <https://docs.rs/rustls/latest/rustls/enum.Error.html>.
        (true, true) if names(&["InvalidContentType"]) => {
            Some("The server there does not use TLS: its URL begins with http://.")
        }
        (true, true) => names(&["invalid peer certificate"]).then_some(
            "The certificate must be for the host in the URL, and from an authority of the system or of --ca-file.",
        ),
        // A server that expects TLS closes a connection that begins otherwise.
        (false, true) => names(&["broken pipe", "connection reset", "frame with invalid size", "closed"])
            .then_some("If the service uses TLS, its URL begins with https://."),
    }
}

/// A request with the token.
pub(super) fn request<M>(message: M, token: &Token) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.authorization());
    request
}
