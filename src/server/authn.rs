//! Requires a bearer token and leaves a [`Principal`] in its place, with what was in force for it: to that the
//! whole call keeps.
//!
//! [`Principal`]: crate::domain::principal::Principal

use std::sync::Arc;

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;

use super::{
    auth_throttle::AuthFailureThrottle,
    connection::Peer,
    middleware::{Middleware, Next},
    status::{self, EdgeRefusal},
};
use crate::{
    domain::{
        audit::{Completion, Event, Kind},
        call::Call,
        principal::{CertificateThumbprint, Principal},
    },
    ports::{AuditLog, Authenticate, AuthnError, Clock, SnapshotSource},
};

/// Longest block of metadata taken, in bytes, as HTTP/2 counts it: tokens go up to 16 KiB.
const MAX_METADATA: usize = 32 * 1024;
/// What HTTP/2 counts for each entry beside its name and value.
const HEADER_OVERHEAD: usize = 32;

/// What the layer needs.
#[derive(Clone)]
pub struct Ports {
    /// Verifies tokens, by what is in force when a call begins.
    pub rules: Arc<dyn SnapshotSource>,
    /// Records refusals.
    pub audit: Arc<dyn AuditLog>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Refuses a request unless its token verifies.
#[derive(Clone, Debug)]
pub(super) struct Authn {
    pub(super) ports: Ports,
    pub(super) auth_throttle: AuthFailureThrottle,
}

/// Why there is no token to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BearerError {
    /// None was sent.
    Missing,
    /// More than one was sent, or something that is no bearer token.
    Unusable(&'static str),
}

// === impl Ports ===

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

// === impl Authn ===

impl Middleware for Authn {
    async fn run<S: Next>(self, mut request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let Some(call) = request.extensions().get::<Arc<Call>>().cloned() else {
            return Ok(status::missing_extension().into_http());
        };
        let in_force = self.ports.rules.current();
        let certificate = request.extensions().get::<Peer>().and_then(|peer| peer.certificate);
        let refusal = match bearer(request.headers()) {
            _ if metadata_size(request.headers()) > MAX_METADATA => too_large(),
            Ok(unverified) => {
                match self.authenticate(in_force.authn(), &call, unverified, certificate.as_ref()).await {
                    Ok(principal) => {
                        request.headers_mut().remove(AUTHORIZATION);
                        request.extensions_mut().insert(principal);
                        request.extensions_mut().insert(in_force);
                        return next.call(request).await;
                    }
                    Err(refusal) => refusal,
                }
            }
            Err(BearerError::Missing) => EdgeRefusal::TokenMissing,
            Err(BearerError::Unusable(reason)) => EdgeRefusal::Token { reason, token_id: None },
        };
        self.ports.audit_rejection(&call, &refusal);
        Ok(status::fields(&call, &refusal).into_http())
    }
}

impl Authn {
    async fn authenticate(
        &self,
        authn: &dyn Authenticate,
        call: &Call,
        unverified: &str,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, EdgeRefusal> {
        if let Some(Err(retry_after)) = call.source.map(|source| self.auth_throttle.try_acquire(source))
            && !authn.is_cached(unverified)
        {
            return Err(EdgeRefusal::Overloaded { retry_after });
        }
        authn.authenticate(unverified, certificate).await.map_err(|error| {
            if let (Some(source), AuthnError::Refused { .. } | AuthnError::Expired { .. }) =
                (call.source, &error)
            {
                self.auth_throttle.record_failure(source);
            }
            refusal_of(&error)
        })
    }
}

impl Ports {
    fn audit_rejection(&self, call: &Call, refusal: &EdgeRefusal) {
        let mut event = Event::for_call(call, None, Kind::Refusal, self.clock.now());
        let (token_id, detail) = match refusal {
            EdgeRefusal::Token { reason, token_id } => (token_id.clone(), Some((*reason).into())),
            EdgeRefusal::TokenExpired { token_id } => (Some(Arc::clone(token_id)), None),
            EdgeRefusal::TokenMissing
            | EdgeRefusal::IssuerUnavailable { .. }
            | EdgeRefusal::Overloaded { .. }
            | EdgeRefusal::Quota(_)
            | EdgeRefusal::Body { .. } => (None, None),
        };
        event.actor.token_id = token_id;
        event.detail = detail;
        event.end = Some(Completion {
            failure: Some(refusal.reason()),
            aws_error: None,
            latency: call.received.elapsed(),
        });
        self.audit.record_best_effort(event);
    }
}

fn refusal_of(error: &AuthnError) -> EdgeRefusal {
    match error {
        AuthnError::Refused { reason, token_id } => {
            EdgeRefusal::Token { reason, token_id: Some(Arc::clone(token_id)) }
        }
        AuthnError::Expired { token_id } => EdgeRefusal::TokenExpired { token_id: Arc::clone(token_id) },
        AuthnError::Unavailable { retry_after, .. } => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "tokens of an issuer cannot be verified now"
            );
            EdgeRefusal::IssuerUnavailable { retry_after: *retry_after }
        }
    }
}

/// How long a block of metadata is, as HTTP/2 counts it (RFC 9113, section 6.5.2).
fn metadata_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum()
}

fn too_large() -> EdgeRefusal {
    let problem = format!("is longer than {MAX_METADATA} bytes: send less of it");
    EdgeRefusal::Body { violations: vec![("metadata".to_owned(), problem)] }
}

/// The token after `Bearer `, unverified. Two entries are refused rather than one of them chosen.
fn bearer(headers: &HeaderMap) -> Result<&str, BearerError> {
    let mut entries = headers.get_all(AUTHORIZATION).iter();
    let value = entries.next().ok_or(BearerError::Missing)?;
    if entries.next().is_some() {
        return Err(BearerError::Unusable("more than one authorization entry"));
    }
    let value =
        value.to_str().map_err(|_invisible| BearerError::Unusable("authorization is not plain text"))?;
    let (scheme, token) =
        value.split_once(' ').ok_or(BearerError::Unusable("authorization is not 'Bearer TOKEN'"))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim_ascii())
    } else {
        Err(BearerError::Unusable("authorization is not 'Bearer TOKEN'"))
    }
}

#[cfg(test)]
mod tests;
