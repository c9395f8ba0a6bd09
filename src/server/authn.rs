//! Requires a bearer token and leaves a [`Principal`] in its place, with what was in force for it: to that the
//! whole call keeps.
//!
//! [`Principal`]: crate::domain::principal::Principal

use std::sync::Arc;

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;

use super::{
    peer::Peer,
    status::{self, Refused},
    step::{Next, Step},
    strangers::Strangers,
};
use crate::{
    domain::{
        audit::{End, Event, Kind},
        call::Call,
        principal::{CertificateThumbprint, Principal},
    },
    ports::{AuditLog, Authenticate, AuthnError, Clock, Rules},
};

/// Longest block of metadata taken, in bytes, as HTTP/2 counts it: tokens go up to 16 KiB.
const MAX_METADATA: usize = 32 * 1024;
/// What HTTP/2 counts for each entry beside its name and value.
const ENTRY: usize = 32;

/// What the layer needs.
#[derive(Clone)]
pub struct Ports {
    /// Verifies tokens, by what is in force when a call begins.
    pub rules: Arc<dyn Rules>,
    /// Records refusals.
    pub audit: Arc<dyn AuditLog>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Refuses a request unless its token verifies.
#[derive(Clone, Debug)]
pub(super) struct Authn {
    pub(super) ports: Ports,
    pub(super) strangers: Strangers,
}

/// Why there is no token to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoToken {
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

impl Step for Authn {
    async fn run<S: Next>(self, mut request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let Some(call) = request.extensions().get::<Arc<Call>>().cloned() else {
            return Ok(status::misassembled().into_http());
        };
        let in_force = self.ports.rules.in_force();
        let certificate = request.extensions().get::<Peer>().and_then(|peer| peer.certificate);
        let refusal = match bearer(request.headers()) {
            _ if weight(request.headers()) > MAX_METADATA => oversized(),
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
            Err(NoToken::Missing) => Refused::TokenMissing,
            Err(NoToken::Unusable(why)) => Refused::Token { why, token_id: None },
        };
        self.ports.note(&call, &refusal);
        Ok(status::refused(&call, &refusal).into_http())
    }
}

impl Authn {
    async fn authenticate(
        &self,
        authn: &dyn Authenticate,
        call: &Call,
        unverified: &str,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, Refused> {
        if let Some(Err(retry_after)) = call.source.map(|source| self.strangers.may_try(source))
            && !authn.knows(unverified)
        {
            return Err(Refused::Overloaded { retry_after });
        }
        authn.authenticate(unverified, certificate).await.map_err(|error| {
            if let (Some(source), AuthnError::Refused { .. } | AuthnError::Expired { .. }) =
                (call.source, &error)
            {
                self.strangers.failed(source);
            }
            refused(&error)
        })
    }
}

impl Ports {
    fn note(&self, call: &Call, refusal: &Refused) {
        let mut event = Event::about(call, None, Kind::Refusal, self.clock.now());
        let (token_id, detail) = match refusal {
            Refused::Token { why, token_id } => (token_id.clone(), Some((*why).into())),
            Refused::TokenExpired { token_id } => (Some(Arc::clone(token_id)), None),
            Refused::TokenMissing
            | Refused::IssuerUnavailable { .. }
            | Refused::Overloaded { .. }
            | Refused::Quota(_)
            | Refused::Body { .. } => (None, None),
        };
        event.actor.token_id = token_id;
        event.detail = detail;
        event.end =
            Some(End { failure: Some(refusal.reason()), aws_error: None, latency: call.received.elapsed() });
        self.audit.note(event);
    }
}

fn refused(error: &AuthnError) -> Refused {
    match error {
        AuthnError::Refused { why, token_id } => Refused::Token { why, token_id: Some(Arc::clone(token_id)) },
        AuthnError::Expired { token_id } => Refused::TokenExpired { token_id: Arc::clone(token_id) },
        AuthnError::Unavailable { retry_after, .. } => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "tokens of an issuer cannot be verified now"
            );
            Refused::IssuerUnavailable { retry_after: *retry_after }
        }
    }
}

/// How long a block of metadata is, as HTTP/2 counts it (RFC 9113, section 6.5.2).
fn weight(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ENTRY).sum()
}

fn oversized() -> Refused {
    let problem = format!("is longer than {MAX_METADATA} bytes: send less of it");
    Refused::Body { violations: vec![("metadata".to_owned(), problem)] }
}

/// The token after `Bearer `, unverified. Two entries are refused rather than one of them chosen.
fn bearer(headers: &HeaderMap) -> Result<&str, NoToken> {
    let mut entries = headers.get_all(AUTHORIZATION).iter();
    let value = entries.next().ok_or(NoToken::Missing)?;
    if entries.next().is_some() {
        return Err(NoToken::Unusable("more than one authorization entry"));
    }
    let value = value.to_str().map_err(|_invisible| NoToken::Unusable("authorization is not plain text"))?;
    let (scheme, token) =
        value.split_once(' ').ok_or(NoToken::Unusable("authorization is not 'Bearer TOKEN'"))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim_ascii())
    } else {
        Err(NoToken::Unusable("authorization is not 'Bearer TOKEN'"))
    }
}

#[cfg(test)]
mod tests;
