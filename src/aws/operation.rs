//! Executes one call to AWS with the session of its grant, within its deadline, and records its request ids.

use std::{sync::Arc, time::Instant};

use aws_sdk_sts::{
    config::{SharedCredentialsProvider, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use tokio::time::timeout_at;

use super::{
    Aws, error,
    session_policy::SessionScope,
    sessions::{Session, SessionKey},
};
use crate::{
    domain::{audit::AwsCallRecord, authorization::Access},
    ports::aws::{AwsResponse, UpstreamError},
};

/// The maximum number of attempts: a second one follows only if AWS reports that the session has expired,
/// which it does before it executes the call.
const ATTEMPTS: u8 = 2;

impl Aws {
    /// Makes one call with the session for the grant of `access`, narrowed to `scope`.
    pub(super) async fn execute<T, E, F>(
        &self,
        access: &Access,
        scope: SessionScope,
        deadline: Instant,
        send: impl Fn(SharedCredentialsProvider) -> F + Send + Sync,
    ) -> AwsResponse<T>
    where
        T: RequestId + Send,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let key = SessionKey::of(access, scope, self.sessions.attribution());
        let mut via =
            AwsCallRecord { role_arn: Some(access.grant().role.as_str().into()), ..AwsCallRecord::default() };
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let session = match self.sessions.get(&key, deadline.into()).await {
                Ok(session) => session,
                Err(error) => {
                    let error = error.upstream();
                    via.aws_request_ids.extend(error::request_id(&error).map(Into::into));
                    return AwsResponse { via, result: Err(error) };
                }
            };
            via.session_name = Some(session.name.as_str().into());
            let result = with_deadline(deadline, &session, &send).await;
            let id = match &result {
                Ok(answer) => answer.request_id(),
                Err(error) => error::request_id(error),
            };
            via.aws_request_ids.extend(id.map(Into::into));
            match &result {
                Err(error) if attempts > 0 && error::is_session_expired(error) => {
                    self.sessions.forget(&key, &session);
                }
                _ => return AwsResponse { via, result },
            }
        }
    }
}

async fn with_deadline<T, E, F>(
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
