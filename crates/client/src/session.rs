//! Calls to the service: each with the token, a deadline, and retries that follow the service's `RetryInfo`.

use std::{error::Error as _, time::Duration};

use tokio::time::Instant;
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    connection::{
        args::ConnectionArgs,
        channel::channel,
        token::{Token, TokenSource},
    },
    failure::Failure,
};

/// How often a call is repeated whose connection broke. The service did not say when to repeat it.
const MAX_RECONNECTS: u32 = 3;
/// The delay before the first of these repetitions; each further one waits twice as long.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);

/// A connection to the service, with the token of the caller.
#[derive(Debug)]
pub struct Session {
    server: String,
    channel: Channel,
    token: TokenSource,
    timeout: Duration,
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

    /// Makes a call. A refusal that carries `RetryInfo` is repeated after its delay, within the timeout. Every
    /// attempt sends the same message, so a `request_id` in it is the same for all of them.
    ///
    /// # Errors
    ///
    /// If the last attempt failed.
    pub async fn call<M: Clone, R>(
        &self,
        message: M,
        method: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let deadline = Instant::now() + self.timeout;
        let (mut token, mut renewed, mut reconnects) = (self.token.token().await?, false, 0);
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let request = request(message.clone(), &token, remaining);
            let answer = tokio::time::timeout(remaining, method(self.channel.clone(), request)).await;
            let status = match answer {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_elapsed) => {
                    return Err(Failure::Timeout { server: self.server.clone(), after: self.timeout });
                }
            };
            if status.code() == Code::Unauthenticated && !renewed {
                renewed = true;
                if let Some(other) = self.token.renew(&token).await? {
                    token = other;
                    continue;
                }
            }
            let delay = if is_broken_connection(&status) {
                reconnects += 1;
                (reconnects <= MAX_RECONNECTS).then(|| RECONNECT_DELAY * 2_u32.pow(reconnects - 1))
            } else {
                status.get_details_retry_info().and_then(|info| info.retry_delay)
            };
            match delay.filter(|delay| Instant::now() + *delay < deadline) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(self.failure(status)),
            }
            // A token can expire while the call waits.
            token = self.token.token().await?;
        }
    }

    /// Opens a stream of responses. The caller reads it for as long as the service sends.
    ///
    /// # Errors
    ///
    /// If the stream could not be opened.
    pub async fn stream<M: Clone, R>(
        &self,
        message: M,
        method: impl AsyncFn(Channel, Request<M>) -> Result<Response<tonic::Streaming<R>>, Status>,
    ) -> Result<tonic::Streaming<R>, Failure> {
        let token = self.token.token().await?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", token.authorization());
        let opened = method(self.channel.clone(), request).await;
        opened.map(Response::into_inner).map_err(|status| self.failure(status))
    }

    /// The failure of a call or of a stream.
    pub(crate) fn failure(&self, status: Status) -> Failure {
        if is_broken_connection(&status) {
            Failure::Unreachable { server: self.server.clone(), cause: root_cause(&status) }
        } else {
            Failure::Refused(Box::new(status))
        }
    }
}

fn request<M>(message: M, token: &Token, timeout: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.authorization());
    request.set_timeout(timeout);
    request
}

/// Whether the service gave no answer. Its own answers have no source.
fn is_broken_connection(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.source().is_some()
}

fn root_cause(status: &Status) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = status;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
