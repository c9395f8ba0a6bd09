//! One call to AWS: through the session that its permit opens, by its deadline, told with its ids.

use std::{sync::Arc, time::Instant};

use aws_sdk_sts::{
    config::{SharedCredentialsProvider, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use tokio::time::timeout_at;

use super::{
    Aws, error,
    session_policy::Reach,
    sessions::{Session, SessionKey},
};
use crate::{
    domain::{audit::Via, authorization::Access},
    ports::aws::{Answered, UpstreamError},
};

/// How often a call is made: once, and once more where its session turned out to be over, which AWS
/// says before it does anything.
const ATTEMPTS: u8 = 2;

impl Aws {
    /// Makes one call through the session that `access` opens for this.
    pub(super) async fn ask<T, E, F>(
        &self,
        access: &Access,
        reach: Reach,
        deadline: Instant,
        send: impl Fn(SharedCredentialsProvider) -> F + Send + Sync,
    ) -> Answered<T>
    where
        T: RequestId + Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let key = SessionKey::of(access, reach, self.sessions.attribution());
        let mut via = Via { role_arn: Some(access.grant().role.as_str().into()), ..Via::default() };
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let session = match self.sessions.get(&key, deadline.into()).await {
                Ok(session) => session,
                Err(error) => {
                    let error = error.upstream();
                    via.aws_request_ids.extend(error::request_id(&error).map(Into::into));
                    return Answered { via, result: Err(error) };
                }
            };
            via.session_name = Some(session.name.as_str().into());
            let result = within(deadline, &session, &send).await;
            let id = match &result {
                Ok(answer) => answer.request_id(),
                Err(error) => error::request_id(error),
            };
            via.aws_request_ids.extend(id.map(Into::into));
            match &result {
                Err(error) if attempts > 0 && error::session_is_over(error) => {
                    self.sessions.forget(&key, &session);
                }
                _ => return Answered { via, result },
            }
        }
    }
}

async fn within<T, E, F>(
    deadline: Instant,
    session: &Arc<Session>,
    send: &impl Fn(SharedCredentialsProvider) -> F,
) -> Result<T, UpstreamError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    if Instant::now() >= deadline {
        return Err(UpstreamError::NotSent("the deadline has passed".into()));
    }
    match timeout_at(deadline.into(), send(session.credentials.clone())).await {
        Ok(result) => result.map_err(error::upstream),
        Err(elapsed) => Err(UpstreamError::Unanswered(elapsed.into())),
    }
}
