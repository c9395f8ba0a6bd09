//! A stream that is opened again where it ended, until the command has what it wants.

use std::ops::ControlFlow;

use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::{
    retry::resume_delay,
    state::{Session, request},
};
use crate::failure::Failure;

impl Session {
    /// Reads a stream. If it breaks, or the token expires, or the service stops, it is opened again with the
    /// message that `message` then returns, as long as a response came within the timeout.
    ///
    /// # Errors
    ///
    /// If the stream ended with an error that a new one would have too, or if `each` failed.
    pub async fn follow<M, R>(
        &self,
        message: impl Fn() -> M,
        open: impl AsyncFn(Channel, Request<M>) -> Result<Response<Streaming<R>>, Status>,
        mut each: impl FnMut(R) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let mut last_response = Instant::now();
        loop {
            let token = self.token.token().await?;
            let ended = match open(self.channel.clone(), request(message(), &token)).await {
                Err(status) => status,
                Ok(response) => {
                    let mut stream = response.into_inner();
                    loop {
                        match stream.message().await {
                            Ok(Some(response)) => {
                                last_response = Instant::now();
                                if each(response)?.is_break() {
                                    return Ok(());
                                }
                            }
                            Ok(None) => return Ok(()),
                            Err(status) => break status,
                        }
                    }
                }
            };
            let delay = resume_delay(&ended).filter(|delay| last_response.elapsed() + *delay < self.timeout);
            let Some(delay) = delay else { return Err(self.failure(ended)) };
            if ended.code() == tonic::Code::Unauthenticated && self.token.renew(&token).await?.is_none() {
                return Err(self.failure(ended));
            }
            sleep(delay).await;
        }
    }
}
