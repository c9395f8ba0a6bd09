//! One call and its repetitions.

use tokio::time::Instant;
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::{
    retry::{Reconnects, is_broken_connection},
    state::{Session, request},
};
use crate::failure::Failure;

impl Session {
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
        let (mut reconnects, mut renewed) = (Reconnects::default(), false);
        let mut token = self.token.token().await?;
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let mut request = request(message.clone(), &token);
            request.set_timeout(remaining);
            let answer = tokio::time::timeout(remaining, method(self.channel.clone(), request)).await;
            let timed_out = || Failure::Timeout { server: self.server.clone(), after: self.timeout };
            let status = match answer.map_err(|_elapsed| timed_out())? {
                Ok(response) => return Ok(response.into_inner()),
                // tonic's own timer ends at the same time.
                Err(status) if is_broken_connection(&status) && Instant::now() >= deadline => {
                    return Err(timed_out());
                }
                Err(status) => status,
            };
            if status.code() == Code::Unauthenticated && !renewed {
                renewed = true;
                if let Some(other) = self.token.renew(&token).await? {
                    token = other;
                    continue;
                }
            }
            match reconnects.delay(&status).filter(|delay| Instant::now() + *delay < deadline) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(self.failure(status)),
            }
            // A token can expire while the call waits.
            token = self.token.token().await?;
        }
    }
}

#[cfg(test)]
mod tests;
