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
    Config, ConfigFault, FetchError, Flaw, KeySet,
    claims::{Claims, check_now, token_id},
    header::Header,
    issuer::Issuer,
    json::{self, Members},
    remembered::{Digest, Remembered, Verified},
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
    remembered: Arc<Remembered>,
    config: Config,
}

/// A token in its parts, none of them verified.
struct Parts<'t> {
    signed: &'t str,
    header: Header,
    claims: Members,
    signature: Vec<u8>,
}

/// Why a token was not accepted, and its `jti` where that was proved.
enum Refusal {
    Flaw(Flaw, Option<Arc<str>>),
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
    pub fn reconfigured(
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
        before: Option<&Self>,
    ) -> Result<Self, Vec<ConfigFault>> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        let started = config.issuers.iter().map(|issuer| {
            let before = before.and_then(|before| before.issuers.get(&issuer.issuer));
            let same = before.filter(|before| before.config == *issuer).cloned();
            let other = || Arc::new(Issuer::new(issuer.clone(), before.map(AsRef::as_ref)));
            (issuer.issuer.clone(), same.unwrap_or_else(other))
        });
        let issuers = started.collect();
        let same = before.filter(|before| before.config.remembered_tokens == config.remembered_tokens);
        let remembered = match same {
            Some(before) => Arc::clone(&before.remembered),
            None => Arc::new(Remembered::new(config.remembered_tokens)),
        };
        Ok(Self { issuers, directory, clock, remembered, config })
    }

    /// How many verified tokens are remembered now.
    #[must_use]
    pub fn remembers(&self) -> usize {
        self.remembered.len()
    }

    /// A token that was verified before, if all that its verification rested on still holds.
    fn again(
        &self,
        digest: &Digest,
        certificate: Option<&CertificateThumbprint>,
    ) -> Option<Result<Arc<Principal>, Refusal>> {
        let seen = self.remembered.find(digest)?;
        let Verified { principal, issuer, .. } = &*seen;
        let same_issuer = self.issuers.get(&*issuer.name).is_some_and(|now| Arc::ptr_eq(now, issuer));
        if !(same_issuer && issuer.keys.still(seen.generation)) {
            self.remembered.forget(digest);
            return None;
        }
        let flaw = |flaw| Refusal::Flaw(flaw, Some(Arc::clone(&principal.token_id)));
        let leeway = issuer.config.leeway;
        if let Err(time) = check_now(principal.expires, seen.not_before, leeway, self.clock.now()) {
            self.remembered.forget(digest);
            return Some(Err(flaw(time)));
        }
        if seen.bound_to.is_some_and(|bound| Some(&bound) != certificate) {
            return Some(Err(flaw(Flaw::BindingMismatch)));
        }
        Some(match self.directory.spoken_for(&issuer.name, &seen.tenant) {
            None => Err(flaw(Flaw::TenantUnknown)),
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
    ) -> Result<Arc<Principal>, Refusal> {
        let token = Parts::read(unverified_token)?;
        let issuer = token.claims.get("iss").and_then(Value::as_str).ok_or(Flaw::IssuerMissing)?;
        let issuer = self.issuers.get(issuer).ok_or(Flaw::IssuerUnknown)?;
        if !issuer.config.algorithms.contains(&token.header.algorithm) {
            return Err(Flaw::AlgorithmNotAllowed.into());
        }
        if issuer.config.require_at_jwt && !token.header.at_jwt {
            return Err(Flaw::NotAnAccessToken.into());
        }
        let keys = keys_for(issuer, &token.header).await?;
        token.check_signature(key_in(&keys, &token.header)?)?;

        let id = token_id(&token.claims).ok().flatten();
        let proved = |flaw| Refusal::Flaw(flaw, id.clone());
        let claims = Claims::check(&token.claims, &issuer.config, self.clock.now()).map_err(proved)?;
        check_binding(&claims, issuer, certificate).map_err(proved)?;
        let tenant = self
            .directory
            .spoken_for(&issuer.name, &claims.tenant)
            .ok_or_else(|| proved(Flaw::TenantUnknown))?;
        let principal = Arc::new(Principal {
            tenant: tenant.id.clone(),
            subject: claims.subject,
            issuer: Arc::clone(&issuer.name),
            scopes: claims.scopes,
            claims: claims.shown,
            token_id: claims.id.unwrap_or_else(|| hashed(&digest)),
            expires: claims.expires,
        });
        let verified = Verified {
            principal: Arc::clone(&principal),
            issuer: Arc::clone(issuer),
            generation: keys.generation,
            tenant: claims.tenant,
            not_before: claims.not_before,
            bound_to: claims.bound_to,
        };
        self.remembered.insert(digest, Arc::new(verified));
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
            return Err(AuthnError::Refused { why: Flaw::TooLong.as_str(), token_id });
        }
        let sha256 = sha256(unverified_token);
        let verified = match self.again(&sha256, certificate) {
            Some(known) => known,
            None => self.verify(unverified_token, sha256, certificate).await,
        };
        verified.map_err(|refusal| match refusal {
            Refusal::Flaw(flaw, id) => {
                let token_id = id.unwrap_or_else(|| hashed(&sha256));
                if flaw == Flaw::Expired {
                    AuthnError::Expired { token_id }
                } else {
                    AuthnError::Refused { why: flaw.as_str(), token_id }
                }
            }
            Refusal::Unavailable(after, why) => AuthnError::Unavailable {
                retry_after: after.max(MIN_RETRY),
                source: Unavailable { dependency: "identity provider", source: Some(Box::new(why)) },
            },
        })
    }

    fn knows(&self, unverified_token: &str) -> bool {
        unverified_token.len() <= self.config.max_token_bytes
            && self.remembered.find(&sha256(unverified_token)).is_some()
    }

    fn unready(&self) -> Vec<String> {
        let mut unready: Vec<String> = self
            .issuers
            .values()
            .filter_map(|issuer| match issuer.keys.fresh() {
                Ok(keys) if keys.is_empty() => {
                    Some(format!("{}: publishes no key that can be used", issuer.name))
                }
                Ok(_) => None,
                Err(why) => Some(format!("{}: {why}", issuer.name)),
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
async fn keys_for(issuer: &Issuer, header: &Header) -> Result<Arc<KeySet>, Refusal> {
    let holds = |keys: &Arc<KeySet>| key_in(keys, header).is_ok();
    let known = issuer.keys.fresh();
    if let Ok(keys) = &known
        && holds(keys)
    {
        return Ok(Arc::clone(keys));
    }
    let now = if issuer.keys.renewed().await { issuer.keys.fresh() } else { known };
    match (now, issuer.keys.failure()) {
        (Ok(keys), None) => Ok(keys),
        (Ok(keys), Some(_)) if holds(&keys) => Ok(keys),
        // The issuer may have made a key that could not be fetched: nothing can be said.
        (Ok(_), Some(why)) | (Err(why), _) => Err(Refusal::Unavailable(issuer.keys.next_attempt(), why)),
    }
}

/// What a token is remembered by.
fn sha256(token: &str) -> Digest {
    let mut sha256 = Digest::default();
    sha256.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    sha256
}

/// A token without a `jti` that can be shown, by the beginning of its SHA-256.
fn hashed(digest: &Digest) -> Arc<str> {
    let beginning = u128::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
    format!("sha256:{beginning:032x}").into()
}

fn key_in<'k>(keys: &'k KeySet, header: &Header) -> Result<&'k ParsedPublicKey, Flaw> {
    keys.find(header.kid.as_deref(), header.algorithm)
}

/// RFC 8705, section 3: a bound token is good beside its certificate alone.
fn check_binding(
    claims: &Claims,
    issuer: &Issuer,
    certificate: Option<&CertificateThumbprint>,
) -> Result<(), Flaw> {
    match &claims.bound_to {
        Some(bound) if Some(bound) == certificate => Ok(()),
        Some(_) => Err(Flaw::BindingMismatch),
        None if issuer.config.require_bound => Err(Flaw::BindingMissing),
        None => Ok(()),
    }
}

// === impl Parts ===

impl<'t> Parts<'t> {
    /// Takes a token apart (RFC 7515, section 7.1), strictly.
    fn read(unverified_token: &'t str) -> Result<Self, Flaw> {
        let (signed, signature) = unverified_token.rsplit_once('.').ok_or(Flaw::NotCompact)?;
        let (header, claims) = signed.split_once('.').ok_or(Flaw::NotCompact)?;
        match claims.bytes().filter(|byte| *byte == b'.').count() {
            0 => {}
            2 => return Err(Flaw::Encrypted),
            _ => return Err(Flaw::NotCompact),
        }
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_invalid| Flaw::NotCompact);
        let header = Header::parse(&decoded(header)?)?;
        let claims = json::object(&decoded(claims)?).ok_or(Flaw::ClaimsMalformed)?;
        Ok(Self { signed, header, claims, signature: decoded(signature)? })
    }

    fn check_signature(&self, key: &ParsedPublicKey) -> Result<(), Flaw> {
        key.verify_sig(self.signed.as_bytes(), &self.signature).map_err(|_unspecified| Flaw::BadSignature)
    }
}

// === impl Refusal ===

impl From<Flaw> for Refusal {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw, None)
    }
}
