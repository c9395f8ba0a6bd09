//! Verifies bearer tokens: nothing in one is believed before the issuer's own key has proved it.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::ParsedPublicKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    Config, ConfigFault, FetchError, KeySet, TokenError,
    claims::{Claims, check_now, token_id},
    header::Header,
    issuer::Issuer,
    strict_json::{self, Members},
    token_cache::{CachedToken, Digest, TokenCache},
};
use crate::{
    domain::principal::{CertificateThumbprint, Principal},
    ports::{Authenticate, AuthnError, Clock, TenantDirectory, Unavailable},
};

/// Least time after which asking again makes sense while an issuer's keys are not to be had.
const MIN_RETRY: Duration = Duration::from_secs(1);

/// Verifies JSON Web Tokens of the configured issuers.
pub struct JwtAuthn {
    issuers: HashMap<Box<str>, Arc<Issuer>>,
    directory: Arc<dyn TenantDirectory>,
    clock: Arc<dyn Clock>,
    token_cache: Arc<TokenCache>,
    config: Config,
}

/// A token in its parts, none of them verified.
struct RawToken<'t> {
    signed: &'t str,
    header: Header,
    claims: Members,
    signature: Vec<u8>,
}

/// Why a token was not accepted, and its `jti` where that was proved.
enum Rejection {
    Defect(TokenError, Option<Arc<str>>),
    Unavailable(Duration, Arc<FetchError>),
}

// === impl JwtAuthn ===

impl JwtAuthn {
    /// Starts to fetch the issuers' keys, and does not wait for them. Needs a runtime.
    ///
    /// # Errors
    ///
    /// Every [`ConfigFault`].
    pub fn new(
        config: Config,
        directory: Arc<dyn TenantDirectory>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<ConfigFault>> {
        Self::build(config, directory, clock, None)
    }

    /// The same with other settings and tenants. Keys stay in use where their source is the same, and
    /// tokens stay remembered where their issuer's settings are.
    ///
    /// # Errors
    ///
    /// Every [`ConfigFault`].
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
            None => Arc::new(TokenCache::new(config.remembered_tokens)),
        };
        Ok(Self { issuers, directory, clock, token_cache, config })
    }

    /// How many verified tokens are remembered now.
    #[must_use]
    pub fn cached_tokens(&self) -> usize {
        self.token_cache.len()
    }

    /// A token that was verified before, if all that its verification rested on still holds.
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
        let keys = keys_for(issuer, &token.header).await?;
        token.check_signature(find_key(&keys, &token.header)?)?;

        let id = token_id(&token.claims).ok().flatten();
        let proved = |error| Rejection::Defect(error, id.clone());
        let claims = Claims::check(&token.claims, &issuer.config, self.clock.now()).map_err(proved)?;
        check_binding(&claims, issuer, certificate).map_err(proved)?;
        let tenant = self
            .directory
            .by_claim(&issuer.name, &claims.tenant)
            .ok_or_else(|| proved(TokenError::TenantUnknown))?;
        let principal = Arc::new(Principal {
            tenant: tenant.id.clone(),
            subject: claims.subject,
            issuer: Arc::clone(&issuer.name),
            scopes: claims.scopes,
            claims: claims.shown,
            token_id: claims.id.unwrap_or_else(|| fallback_token_id(&digest)),
            expires: claims.expires,
        });
        let verified = CachedToken {
            principal: Arc::clone(&principal),
            issuer: Arc::clone(issuer),
            generation: keys.generation,
            tenant: claims.tenant,
            not_before: claims.not_before,
            bound_to: claims.bound_to,
        };
        self.token_cache.insert(digest, Arc::new(verified));
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
            Some(key_set) => key_set,
            None => self.verify(unverified_token, sha256, certificate).await,
        };
        verified.map_err(|refusal| match refusal {
            Rejection::Defect(error, id) => {
                let token_id = id.unwrap_or_else(|| fallback_token_id(&sha256));
                if error == TokenError::Expired {
                    AuthnError::Expired { token_id }
                } else {
                    AuthnError::Refused { reason: error.as_str(), token_id }
                }
            }
            Rejection::Unavailable(after, reason) => AuthnError::Unavailable {
                retry_after: after.max(MIN_RETRY),
                source: Unavailable { dependency: "identity provider", source: Some(Box::new(reason)) },
            },
        })
    }

    fn is_cached(&self, unverified_token: &str) -> bool {
        unverified_token.len() <= self.config.max_token_bytes
            && self.token_cache.find(&sha256(unverified_token)).is_some()
    }

    fn unready(&self) -> Vec<String> {
        let mut unready: Vec<String> = self
            .issuers
            .values()
            .filter_map(|issuer| match issuer.keys.current() {
                Ok(keys) if keys.is_empty() => {
                    Some(format!("{}: publishes no key that can be used", issuer.name))
                }
                Ok(_) => None,
                Err(reason) => Some(format!("{}: {reason}", issuer.name)),
            })
            .collect();
        unready.sort_unstable();
        unready
    }
}

impl fmt::Debug for JwtAuthn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthn").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The issuer's keys: those at hand if they hold the one that is asked for, otherwise newer ones.
async fn keys_for(issuer: &Issuer, header: &Header) -> Result<Arc<KeySet>, Rejection> {
    let holds = |keys: &Arc<KeySet>| find_key(keys, header).is_ok();
    let key_set = issuer.keys.current();
    if let Ok(keys) = &key_set
        && holds(keys)
    {
        return Ok(Arc::clone(keys));
    }
    let now = if issuer.keys.refresh().await { issuer.keys.current() } else { key_set };
    match (now, issuer.keys.failure()) {
        (Ok(keys), None) => Ok(keys),
        (Ok(keys), Some(_)) if holds(&keys) => Ok(keys),
        // The issuer may have made a key that could not be fetched: nothing can be said.
        (Ok(_), Some(reason)) | (Err(reason), _) => {
            Err(Rejection::Unavailable(issuer.keys.next_attempt(), reason))
        }
    }
}

/// What a token is remembered by.
fn sha256(token: &str) -> Digest {
    let mut sha256 = Digest::default();
    sha256.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    sha256
}

/// A token without a `jti` that can be shown, by the beginning of its SHA-256.
fn fallback_token_id(digest: &Digest) -> Arc<str> {
    let beginning = u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
    format!("sha256:{beginning:032x}").into()
}

fn find_key<'k>(keys: &'k KeySet, header: &Header) -> Result<&'k ParsedPublicKey, TokenError> {
    keys.find(header.kid.as_deref(), header.algorithm)
}

/// RFC 8705, section 3: a bound token is good beside its certificate alone.
fn check_binding(
    claims: &Claims,
    issuer: &Issuer,
    certificate: Option<&CertificateThumbprint>,
) -> Result<(), TokenError> {
    match &claims.bound_to {
        Some(bound) if Some(bound) == certificate => Ok(()),
        Some(_) => Err(TokenError::BindingMismatch),
        None if issuer.config.require_bound => Err(TokenError::BindingMissing),
        None => Ok(()),
    }
}

// === impl Parts ===

impl<'t> RawToken<'t> {
    /// Takes a token apart (RFC 7515, section 7.1), strictly.
    fn read(unverified_token: &'t str) -> Result<Self, TokenError> {
        let (signed, signature) = unverified_token.rsplit_once('.').ok_or(TokenError::NotCompact)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::NotCompact)?;
        match claims.bytes().filter(|byte| *byte == b'.').count() {
            0 => {}
            2 => return Err(TokenError::Encrypted),
            _ => return Err(TokenError::NotCompact),
        }
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_invalid| TokenError::NotCompact);
        let header = Header::parse(&decoded(header)?)?;
        let claims = strict_json::object(&decoded(claims)?).ok_or(TokenError::ClaimsMalformed)?;
        Ok(Self { signed, header, claims, signature: decoded(signature)? })
    }

    fn check_signature(&self, key: &ParsedPublicKey) -> Result<(), TokenError> {
        key.verify_sig(self.signed.as_bytes(), &self.signature)
            .map_err(|_unspecified| TokenError::BadSignature)
    }
}

// === impl Refusal ===

impl From<TokenError> for Rejection {
    fn from(error: TokenError) -> Self {
        Self::Defect(error, None)
    }
}
