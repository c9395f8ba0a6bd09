//! What a fault does to a call before or after the operation.

use std::time::Duration;

use http::StatusCode;
use tokio::time;

use crate::{api_error::ApiError, fault::spec::Effect, service::Service, wire::body::ConnectionReset};

/// What a fault does to a call, before or after the operation.
pub(super) enum Disposition {
    /// The call continues.
    Run,
    /// The response is this error.
    Refuse(ApiError),
    /// The response is meaningless bytes.
    Garble,
}

/// Applies the effect of a fault. A hanging call never returns.
pub(super) async fn dispose(
    service: Service,
    effect: Option<&Effect>,
) -> Result<Disposition, ConnectionReset> {
    let Some(effect) = effect else {
        return Ok(Disposition::Run);
    };
    Ok(match effect {
        Effect::Throttle => Disposition::Refuse(ApiError::throttled(service)),
        Effect::Error { code, message, status } => {
            let message = message.as_ref().unwrap_or(code).clone();
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            Disposition::Refuse(ApiError {
                status: status.unwrap_or(StatusCode::BAD_REQUEST),
                ..ApiError::new(code.clone(), message)
            })
        }
        Effect::Hang => std::future::pending().await,
        Effect::Reset => return Err(ConnectionReset),
        Effect::Garbage => Disposition::Garble,
        Effect::Latency { .. }
        | Effect::Drip { .. }
        | Effect::Truncate
        | Effect::ExpiredCredentials
        | Effect::WrongAccount(_) => Disposition::Run,
    })
}

/// Waits, if a fault says so.
pub(super) async fn delay(delay: Duration) {
    if !delay.is_zero() {
        time::sleep(delay).await;
    }
}
