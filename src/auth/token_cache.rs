//! Tokens verified before, by their SHA-256: bounded, so that a token costs its signature check once.

use std::sync::Arc;

use super::{issuer::Issuer, two_gen_cache::TwoGenCache};
use crate::domain::{
    principal::{CertificateThumbprint, Principal},
    time::Timestamp,
};

/// The SHA-256 of a whole token.
pub(super) type Digest = [u8; 32];

/// A token that was verified, and what that rested on.
#[derive(Debug)]
pub(super) struct CachedToken {
    /// The caller.
    pub(super) principal: Arc<Principal>,
    /// Whose keys verified it.
    pub(super) issuer: Arc<Issuer>,
    /// Which set of them.
    pub(super) generation: u64,
    /// What the token says of its tenant, which is looked up at every use.
    pub(super) tenant: Box<str>,
    /// From when it is good.
    pub(super) not_before: Option<Timestamp>,
    /// The certificate it is bound to.
    pub(super) bound_to: Option<CertificateThumbprint>,
}

/// The tokens.
pub(super) type TokenCache = TwoGenCache<Digest, Arc<CachedToken>>;
