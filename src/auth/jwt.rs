//! Verifies bearer tokens for the server. It trusts nothing in a token before a key of the issuer has
//! verified the signature.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    claims::{Claims, check_now, token_id},
    config::{Config, ConfigFault},
    issuer::{Issuer, KeysUnavailable},
    raw_token::RawToken,
    token_cache::{CachedToken, Digest, TokenCache, sha256, token_cache},
    token_error::TokenError,
};
use crate::{
    domain::principal::{CertificateThumbprint, Principal},
    ports::{Authenticate, AuthnError, Clock, IssuerReadiness, TenantDirectory, Unavailable},
};

/// The shortest retry delay that a caller receives while an issuer's keys are unavailable.
const MIN_RETRY: Duration = Duration::from_secs(1);

/// Verifies JSON Web Tokens of the configured issuers.
pub struct JwtAuthn {
    issuers: HashMap<Box<str>, Arc<Issuer>>,
    directory: Arc<dyn TenantDirectory>,
    clock: Arc<dyn Clock>,
    token_cache: Arc<TokenCache>,
    config: Config,
}

/// Why a token was not accepted.
enum Rejection {
    /// The defect, and the `jti` if the signature was verified.
    Defect(TokenError, Option<Arc<str>>),
    /// The issuer's keys are unavailable.
    Unavailable(KeysUnavailable),
}

// === impl JwtAuthn ===

impl JwtAuthn {
    /// The names of the issuers.
    pub fn issuer_names(&self) -> impl Iterator<Item = &str> {
        self.issuers.values().map(|issuer| &*issuer.name)
    }

    /// The time since each issuer's keys were fetched, for the issuers whose keys ever were.
    pub fn key_ages(&self) -> impl Iterator<Item = (&str, std::time::Duration)> {
        self.issuers.values().filter_map(|issuer| Some((&*issuer.name, issuer.keys.age()?)))
    }

    /// Starts to fetch the issuers' keys without waiting for them. Requires a Tokio runtime.
    ///
    /// # Errors
    ///
    /// Every [`ConfigFault`] of the configuration.
    pub fn new(
        config: Config,
        directory: Arc<dyn TenantDirectory>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<ConfigFault>> {
        Self::build(config, directory, clock, None)
    }

    /// A verifier with other settings and tenants. It keeps the keys of issuers whose key source is
    /// unchanged, and the cached tokens of issuers whose settings are all unchanged.
    ///
    /// # Errors
    ///
    /// Every [`ConfigFault`] of the configuration.
    pub fn with_config(
        &self,
        config: Config,
        directory: Arc<dyn TenantDirectory>,
    ) -> Result<Self, Vec<ConfigFault>> {
        Self::build(config, directory, Arc::clone(&self.clock), Some(self))
    }

    fn build(
        config: Config,
        directory: Arc<dyn TenantDirectory>,
        clock: Arc<dyn Clock>,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<ConfigFault>> {
        let faults = config.validate();
        if !faults.is_empty() {
            return Err(faults);
        }
        let started = config.issuers.iter().map(|issuer| {
            let previous = previous.and_then(|previous| previous.issuers.get(&issuer.issuer));
            let same = previous.filter(|previous| previous.config == *issuer).cloned();
            let other = || Arc::new(Issuer::new(issuer.clone(), previous.map(AsRef::as_ref)));
            (issuer.issuer.clone(), same.unwrap_or_else(other))
        });
        let issuers = started.collect();
        let same = previous.filter(|previous| previous.config.remembered_tokens == config.remembered_tokens);
        let token_cache = match same {
            Some(previous) => Arc::clone(&previous.token_cache),
            None => Arc::new(token_cache(config.remembered_tokens)),
        };
        Ok(Self { issuers, directory, clock, token_cache, config })
    }

    /// The number of verified tokens in the cache.
    #[must_use]
    pub fn cached_tokens(&self) -> usize {
        self.token_cache.len()
    }

    /// The memory of the verified tokens in the cache, in bytes.
    #[must_use]
    pub fn cached_token_bytes(&self) -> u64 {
        self.token_cache.bytes()
    }

    /// The result for a cached token. None if it is not cached, or if its issuer's settings or keys changed.
    fn check_cached(
        &self,
        digest: &Digest,
        certificate: Option<&CertificateThumbprint>,
    ) -> Option<Result<Arc<Principal>, Rejection>> {
        let cached = self.token_cache.find(digest)?;
        let CachedToken { principal, issuer, .. } = &*cached;
        let same_issuer = self.issuers.get(&*issuer.name).is_some_and(|now| Arc::ptr_eq(now, issuer));
        if !(same_issuer && issuer.keys.is_generation(cached.generation)) {
            self.token_cache.forget(digest);
            return None;
        }
        let error = |error| Rejection::Defect(error, Some(Arc::clone(&principal.token_id)));
        let leeway = issuer.config.leeway;
        if let Err(time) = check_now(principal.expires, cached.not_before, leeway, self.clock.now()) {
            self.token_cache.forget(digest);
            return Some(Err(error(time)));
        }
        if cached.bound_to.is_some_and(|bound| Some(&bound) != certificate) {
            return Some(Err(error(TokenError::BindingMismatch)));
        }
        Some(match self.directory.by_claim(&issuer.name, &cached.tenant) {
            None => Err(error(TokenError::TenantUnknown)),
            Some(tenant) if tenant.id == principal.tenant => Ok(Arc::clone(principal)),
            Some(tenant) => {
                Ok(Arc::new(Principal { tenant: tenant.id.clone(), ..Principal::clone(principal) }))
            }
        })
    }

    async fn verify(
        &self,
        unverified_token: &str,
        digest: Digest,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, Rejection> {
        let token = RawToken::read(unverified_token)?;
        let issuer = token.claims.get("iss").and_then(Value::as_str).ok_or(TokenError::IssuerMissing)?;
        let issuer = self.issuers.get(issuer).ok_or(TokenError::IssuerUnknown)?;
        if !issuer.config.algorithms.contains(&token.header.algorithm) {
            return Err(TokenError::AlgorithmNotAllowed.into());
        }
        if issuer.config.require_at_jwt && !token.header.at_jwt {
            return Err(TokenError::NotAnAccessToken.into());
        }
        let keys = issuer.keys_for(&token.header).await.map_err(Rejection::Unavailable)?;
        let key = issuer.find(&keys, &token.header)?;
        key.verify(token.signed.as_bytes(), token.signature)?;

        let id = token_id(&token.claims).ok().flatten();
        let proved = |error| Rejection::Defect(error, id.clone());
        let claims = Claims::check(&token.claims, &issuer.config, self.clock.now()).map_err(proved)?;
        claims.check_binding(&issuer.config, certificate).map_err(proved)?;
        let tenant = self
            .directory
            .by_claim(&issuer.name, &claims.tenant)
            .ok_or_else(|| proved(TokenError::TenantUnknown))?;
        let principal = Arc::new(Principal {
            tenant: tenant.id.clone(),
            subject: claims.subject,
            issuer: Arc::clone(&issuer.name),
            scopes: claims.scopes,
            claims: claims.for_policy,
            token_id: claims.id.unwrap_or_else(|| fallback_token_id(&digest)),
            expires: claims.expires,
            delegation: claims.delegation,
        });
        let verified = CachedToken {
            principal: Arc::clone(&principal),
            issuer: Arc::clone(issuer),
            generation: keys.generation,
            tenant: claims.tenant,
            not_before: claims.not_before,
            bound_to: claims.bound_to,
        };
        self.token_cache.insert(&principal.tenant, digest, Arc::new(verified));
        Ok(principal)
    }
}

#[async_trait]
impl Authenticate for JwtAuthn {
    async fn authenticate(
        &self,
        unverified_token: &str,
        certificate: Option<&CertificateThumbprint>,
    ) -> Result<Arc<Principal>, AuthnError> {
        if unverified_token.len() > self.config.max_token_bytes {
            let token_id = "unread".into();
            return Err(AuthnError::Refused { reason: TokenError::TooLong.as_str(), token_id });
        }
        let sha256 = sha256(unverified_token);
        let verified = match self.check_cached(&sha256, certificate) {
            Some(outcome) => outcome,
            None => self.verify(unverified_token, sha256, certificate).await,
        };
        verified.map_err(|rejection| match rejection {
            Rejection::Defect(error, id) => {
                let token_id = id.unwrap_or_else(|| fallback_token_id(&sha256));
                if error == TokenError::Expired {
                    AuthnError::Expired { token_id }
                } else {
                    AuthnError::Refused { reason: error.as_str(), token_id }
                }
            }
            Rejection::Unavailable(KeysUnavailable { retry_after, reason }) => AuthnError::Unavailable {
                retry_after: retry_after.max(MIN_RETRY),
                source: Unavailable { dependency: "identity provider", source: Some(Box::new(reason)) },
            },
        })
    }

    fn is_cached(&self, unverified_token: &str) -> bool {
        unverified_token.len() <= self.config.max_token_bytes
            && self.token_cache.find(&sha256(unverified_token)).is_some()
    }

    fn may_assert_user(&self, issuer: &str) -> bool {
        self.issuers.get(issuer).is_some_and(|issuer| issuer.config.may_assert_user)
    }

    fn readiness(&self) -> IssuerReadiness {
        let (mut problems, mut serves) = (Vec::new(), false);
        for issuer in self.issuers.values() {
            match issuer.keys.current() {
                Ok(keys) if keys.has_key_for(&issuer.config.algorithms) => serves = true,
                Ok(_) => problems.push(format!("{}: publishes no usable key", issuer.name)),
                Err(reason) => problems.push(format!("{}: {reason}", issuer.name)),
            }
        }
        problems.sort_unstable();
        IssuerReadiness { problems, serves }
    }
}

impl fmt::Debug for JwtAuthn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthn").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The id of a token without a printable `jti`: the first 16 bytes of its SHA-256.
fn fallback_token_id(digest: &Digest) -> Arc<str> {
    let beginning = u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
    format!("sha256:{beginning:032x}").into()
}

// === impl Rejection ===

impl From<TokenError> for Rejection {
    fn from(error: TokenError) -> Self {
        Self::Defect(error, None)
    }
}
