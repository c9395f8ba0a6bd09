//! A bounded cache of verified tokens by their SHA-256, so that the service verifies each signature once.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    issuer::Issuer,
    shared_cache::{CacheBounds, CachedBytes, SharedCache},
};
use crate::domain::{
    principal::{CertificateThumbprint, Principal},
    time::Timestamp,
};

/// The SHA-256 of a whole token.
pub(super) type Digest = [u8; 32];

/// A verified token, with what the service must check again on each use.
#[derive(Debug)]
pub(super) struct CachedToken {
    /// The caller that the token authenticates.
    pub(super) principal: Arc<Principal>,
    /// The issuer whose key verified the token.
    pub(super) issuer: Arc<Issuer>,
    /// The generation of the key set that verified the token.
    pub(super) generation: u64,
    /// The value of the tenant claim. The tenant is looked up on each use.
    pub(super) tenant: Box<str>,
    /// The time in `nbf`.
    pub(super) not_before: Option<Timestamp>,
    /// The certificate that the token is bound to.
    pub(super) bound_to: Option<CertificateThumbprint>,
}

/// The cache of verified tokens.
pub(super) type TokenCache = SharedCache<Digest, Arc<CachedToken>>;

/// The memory of the cache, in bytes.
pub(super) const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// A cache for this number of tokens.
pub(super) fn token_cache(tokens: usize) -> TokenCache {
    SharedCache::new(CacheBounds { bytes: CACHE_BYTES, entries: u64::try_from(tokens).unwrap_or(u64::MAX) })
}

impl CachedBytes for Arc<CachedToken> {
    fn cached_bytes(&self) -> usize {
        size_of::<CachedToken>() + size_of::<Digest>() + self.principal.heap_bytes() + self.tenant.len()
    }
}

/// The key of a token in the cache.
pub(super) fn sha256(token: &str) -> Digest {
    let mut sha256 = Digest::default();
    sha256.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    sha256
}
