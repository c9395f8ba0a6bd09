//! The authentication layer: replaces the bearer token with a verified [`Principal`], and pins the snapshot
//! that the whole call uses.
//!
//! [`Principal`]: crate::domain::principal::Principal

use std::sync::Arc;

use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use tonic::body::Body;
use tracing::Instrument as _;

use super::{
    asserted_user,
    auth_throttle::AuthFailureThrottle,
    middleware::{Middleware, Next},
    rejection::RejectionLog,
};
use crate::{
    domain::{
        call::Call,
        principal::{CertificateThumbprint, Principal},
    },
    ports::{Authenticate, AuthnError, SnapshotSource, StreamToken},
    server::{
        grpc::status::{self, EdgeRefusal},
        transport::connection::Peer,
    },
    spans,
};

/// The longest metadata that is accepted, in bytes as HTTP/2 counts them; a token has up to 16 KiB.
const MAX_METADATA: usize = 32 * 1024;
/// The bytes that HTTP/2 counts for each entry in addition to its name and value.
const HEADER_OVERHEAD: usize = 32;

/// Rejects a request unless its token is valid.
#[derive(Clone)]
pub(in crate::server) struct Authn {
    /// The source of the snapshot that verifies the token.
    pub(super) rules: Arc<dyn SnapshotSource>,
    pub(super) rejections: RejectionLog,
    pub(super) auth_throttle: AuthFailureThrottle,
}

/// Why a request has no token to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BearerError {
    /// The request has no `authorization` entry.
    Missing,
    /// It has more than one entry, or one that is not a bearer token.
    Unusable(&'static str),
}

// === impl Authn ===

impl Middleware for Authn {
    async fn run<S: Next>(self, mut request: Request<Body>, mut next: S) -> Result<Response<Body>, S::Error> {
        let Some(call) = request.extensions().get::<Arc<Call>>().cloned() else {
            return Ok(status::missing_extension().into_http());
        };
        let snapshot = self.rules.current();
        let certificate = request.extensions().get::<Peer>().and_then(|peer| peer.certificate);
        let refusal = match bearer(request.headers()) {
            _ if metadata_size(request.headers()) > MAX_METADATA => too_large(),
            Ok(unverified) => {
                let token = call
                    .action
                    .is_stream()
                    .then(|| StreamToken { unverified_token: unverified.into(), certificate });
                match self.authenticate(snapshot.authn(), &call, unverified, certificate.as_ref()).await {
                    Ok(verified) => {
                        let delegated =
                            asserted_user::delegate(request.headers(), &verified, snapshot.authn());
                        let principal = match delegated {
                            Ok(principal) => principal,
                            Err(refusal) => {
                                call.summary.set_principal(&verified);
                                self.rejections.record(&call, Some(&verified), refusal.reason());
                                return Ok(status::from_refusal(&call, &refusal).into_http());
                            }
                        };
                        if let Some(peer) = request.extensions().get::<Peer>() {
                            peer.connection.set_authenticated();
                        }
                        call.summary.set_principal(&principal);
                        request.headers_mut().remove(AUTHORIZATION);
                        if let Some(token) = token {
                            request.extensions_mut().insert(token);
                        }
                        request.extensions_mut().insert(principal);
                        request.extensions_mut().insert(snapshot);
                        return next.call(request).await;
                    }
                    Err(refusal) => refusal,
                }
            }
            Err(BearerError::Missing) => EdgeRefusal::TokenMissing,
            Err(BearerError::Unusable(reason)) => EdgeRefusal::Token { reason, token_id: None },
        };
        self.rejections.record_token(&call, &refusal);
        Ok(status::from_refusal(&call, &refusal).into_http())
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
        let verifying = self.verify(authn, call, unverified, certificate);
        verifying.instrument(spans::step("authentication")).await
    }

    async fn verify(
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
            let refusal = refusal_of(&error);
            spans::fail(refusal.reason().as_str());
            refusal
        })
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
                "tokens of an issuer cannot be verified, because its keys are not available"
            );
            EdgeRefusal::IssuerUnavailable { retry_after: *retry_after }
        }
    }
}

/// The size of the metadata, as HTTP/2 counts it (RFC 9113, section 6.5.2).
fn metadata_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum()
}

fn too_large() -> EdgeRefusal {
    let problem = format!("is longer than {MAX_METADATA} bytes: send less metadata");
    EdgeRefusal::Body { violations: vec![("metadata".to_owned(), problem)] }
}

/// The unverified token after `Bearer `. Two entries are rejected, because neither is a safe choice.
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
