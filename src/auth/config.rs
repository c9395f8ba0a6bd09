//! The settings of issuers and tokens. `src/config` builds them from the configuration file.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use thiserror::Error;
use url::Url;

use super::{
    algorithm::Algorithm, allowed_url::is_secure, claim_path::ClaimPath, value_pattern::ValuePattern,
};
use crate::domain::principal::Scope;

/// The settings of token verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The trusted issuers; each `iss` at most once.
    pub issuers: Vec<IssuerConfig>,
    /// The longest token, in bytes. Longer ones are rejected without being parsed. Default
    /// [`Config::MAX_TOKEN_BYTES`].
    pub max_token_bytes: usize,
    /// The size of the cache of verified tokens. Default [`Config::REMEMBERED_TOKENS`].
    pub remembered_tokens: usize,
}

/// One issuer, and the requirements on its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one setting of the configuration file")]
pub struct IssuerConfig {
    /// The value of `iss`, byte for byte.
    pub issuer: Box<str>,
    /// `aud` must contain at least one of these, or `client_id` must be one of them.
    pub audiences: Vec<Box<str>>,
    /// The claim that names the audience. Default [`AudienceClaim::Aud`].
    pub audience_claim: AudienceClaim,
    /// Whether a token with other audiences too is rejected. Any other recipient of such a token could replay
    /// it here. Default false.
    pub only_audience: bool,
    /// The source of the issuer's keys.
    pub keys: KeySource,
    /// How often the keys are fetched.
    pub refresh: Refresh,
    /// The algorithms that the issuer may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Whether the `kid` of a token must be that of the key. If not, a key without a `kid` verifies it too,
    /// where it is the only key for the algorithm. Default true.
    pub require_kid: bool,
    /// The claim that names the tenant.
    pub tenant_claim: ClaimPath,
    /// Which part of that claim names the tenant. Without a pattern, it is the whole claim.
    pub tenant_claim_pattern: Option<ValuePattern>,
    /// The claim with the scopes: a string with spaces between them, or a list of strings.
    pub scope_claim: ClaimPath,
    /// The scopes of tokens without a scope claim, such as workload tokens. Default none.
    pub default_scopes: Vec<Box<str>>,
    /// Whether scopes that reach beyond a tenant count in the tokens of the issuer. Default false: an owner of
    /// the issuer would otherwise be an operator of every tenant.
    pub may_grant_admin: bool,
    /// The claims that policies see as tags of the caller, at most [`IssuerConfig::MAX_POLICY_CLAIMS`].
    /// Default none.
    pub policy_claims: Vec<ClaimPath>,
    /// The allowed difference between the issuer's clock and the service's. Default [`IssuerConfig::LEEWAY`],
    /// at most [`IssuerConfig::MAX_LEEWAY`].
    pub leeway: Duration,
    /// Whether `nbf` is required. If it is present, it is always checked. Many issuers send no `nbf`; then
    /// only `iat` shows that a token is not from the future. Default true.
    pub require_nbf: bool,
    /// Whether `typ` must be `at+jwt` (RFC 9068, section 4). Default false.
    pub require_at_jwt: bool,
    /// Whether identity tokens are accepted too, for issuers that issue no other tokens. Default false.
    pub accept_id_tokens: bool,
    /// The longest lifetime of a token, `exp` minus `iat`; requires `iat`. Default none.
    pub max_lifetime: Option<Duration>,
    /// Whether every token must be bound to the client's certificate (RFC 8705). Default false.
    pub require_bound: bool,
    /// Whether a caller with a token of this issuer may name in `x-on-behalf-of` the person for whom it calls.
    /// Default false.
    pub may_assert_user: bool,
    /// The only certificate authorities of the issuer's server, in PEM. Default those of the system.
    pub authorities: Option<Arc<[u8]>>,
}

/// The claim that names whom a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceClaim {
    /// `aud` (RFC 7519, section 4.1.3).
    Aud,
    /// `client_id`, for issuers whose access tokens have no `aud`, such as Cognito
    /// (<https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html>).
    ClientId,
}

/// The source of an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JSON Web Key Set at this address, over HTTPS, or over HTTP from this machine.
    JwksUri(Url),
    /// A JSON Web Key Set in this file. The service reads it every few seconds.
    JwksFile(PathBuf),
    /// The address in the issuer's `OpenID` Connect discovery document.
    Discovery,
}

/// How often keys are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The age at which keys are fetched again in the background. A key that the issuer removed stays valid
    /// for at most this long. Default [`Refresh::REFRESH_INTERVAL`].
    pub every: Duration,
    /// The shortest time between the starts of two fetches, whatever the result of the first. Default
    /// [`Refresh::MIN_RETRY`].
    pub cool_down: Duration,
    /// The age up to which known keys stay valid while the issuer cannot be reached. After that, its tokens
    /// cannot be verified. Default [`Refresh::MAX_STALENESS`].
    pub max_staleness: Duration,
    /// The longest duration of one fetch, including redirects. Default [`Refresh::TIMEOUT`].
    pub timeout: Duration,
}

/// A problem with one setting of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("issuer {issuer}: {field} {message}")]
pub struct ConfigFault {
    /// The index of the issuer in [`Config::issuers`]; the first is 0.
    pub index: usize,
    /// The `iss` of the issuer.
    pub issuer: Box<str>,
    /// The name of the setting.
    pub field: &'static str,
    /// The problem, as a sentence that starts with the name of the setting.
    pub message: &'static str,
}

// === impl Config ===

impl Config {
    /// Default of `max_token_bytes`: 16 KiB.
    pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
    /// Default of `remembered_tokens`.
    pub const REMEMBERED_TOKENS: usize = 16 * 1024;

    /// These issuers, with every default.
    #[must_use]
    pub fn new(issuers: Vec<IssuerConfig>) -> Self {
        Self { issuers, max_token_bytes: Self::MAX_TOKEN_BYTES, remembered_tokens: Self::REMEMBERED_TOKENS }
    }

    /// Every problem with the issuers' settings.
    #[must_use]
    pub fn validate(&self) -> Vec<ConfigFault> {
        let mut names = HashSet::new();
        let mut diagnostics = Vec::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            let duplicate = (!names.insert(&issuer.issuer)).then_some(("issuer", "is listed twice"));
            diagnostics.extend(issuer.diagnostics().into_iter().chain(duplicate).map(|(field, message)| {
                ConfigFault { index, issuer: issuer.issuer.clone(), field, message }
            }));
        }
        diagnostics
    }
}

// === impl IssuerConfig ===

impl IssuerConfig {
    /// Default of `leeway`.
    pub const LEEWAY: Duration = Duration::from_secs(30);
    /// The largest `leeway`.
    pub const MAX_LEEWAY: Duration = Duration::from_mins(5);
    /// The largest number of `policy_claims`.
    pub const MAX_POLICY_CLAIMS: usize = 16;
    /// Default of `tenant_claim`.
    pub const TENANT_CLAIM: &str = "tenant";
    /// Default of `scope_claim`.
    pub const SCOPE_CLAIM: &str = "scope";

    /// An issuer with these claims and the defaults for all other settings: keys by discovery, RS256 and
    /// ES256.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, tenant_claim: ClaimPath, scope_claim: ClaimPath) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            audience_claim: AudienceClaim::Aud,
            only_audience: false,
            keys: KeySource::Discovery,
            refresh: Refresh::default(),
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
            require_kid: true,
            tenant_claim,
            tenant_claim_pattern: None,
            scope_claim,
            default_scopes: Vec::new(),
            may_grant_admin: false,
            policy_claims: Vec::new(),
            leeway: Self::LEEWAY,
            require_nbf: true,
            require_at_jwt: false,
            accept_id_tokens: false,
            max_lifetime: None,
            require_bound: false,
            may_assert_user: false,
            authorities: None,
        }
    }

    /// Whether a scope of this name counts in the issuer's tokens.
    #[must_use]
    pub fn may_grant(&self, scope: &str) -> bool {
        self.may_grant_admin || !Scope::name_reaches_beyond_tenant(scope)
    }

    /// The address of the discovery document (`OpenID` Connect Discovery 1.0, section 4); none if the issuer
    /// is not a URL.
    pub(super) fn discovery_url(&self) -> Option<Url> {
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let issuer: Url = base.parse().ok()?;
        (issuer.query().is_none() && issuer.fragment().is_none()).then_some(())?;
        format!("{base}/.well-known/openid-configuration").parse().ok()
    }

    fn diagnostics(&self) -> Vec<(&'static str, &'static str)> {
        let insecure = "must be https, or http to a loopback address";
        let mut diagnostics = Vec::new();
        let mut check = |fine: bool, field, message| {
            if !fine {
                diagnostics.push((field, message));
            }
        };
        check(!self.issuer.is_empty(), "issuer", "is empty");
        check(!self.audiences.is_empty(), "audiences", "is empty: list the values that aud may contain");
        check(self.audiences.iter().all(|aud| !aud.is_empty()), "audiences", "contains an empty name");
        check(!self.algorithms.is_empty(), "algorithms", "is empty: list at least RS256 or ES256");
        check(self.leeway <= Self::MAX_LEEWAY, "leeway", "is longer than 5m");
        check(
            self.max_lifetime.is_none_or(|limit| !limit.is_zero()),
            "max_lifetime",
            "is zero, so that every token would be rejected",
        );
        check(
            self.default_scopes.iter().all(|scope| self.may_grant(scope)),
            "default_scopes",
            "contains logkey:admin, which reaches beyond the tenant and would not count: remove it, or set \
             may_grant_admin = true",
        );
        let listed: HashSet<String> = self.policy_claims.iter().map(ToString::to_string).collect();
        check(listed.len() == self.policy_claims.len(), "policy_claims", "lists a claim twice");
        check(listed.len() <= Self::MAX_POLICY_CLAIMS, "policy_claims", "lists more than 16 claims");
        check(
            !(self.accept_id_tokens && self.require_at_jwt),
            "accept_id_tokens",
            "and require_at_jwt contradict each other: set only one of them",
        );
        match &self.keys {
            KeySource::JwksUri(url) => check(is_secure(url), "jwks_uri", insecure),
            KeySource::JwksFile(_) => {}
            KeySource::Discovery => check(
                self.discovery_url().is_some_and(|url| is_secure(&url)),
                "issuer",
                "must be an https URL, or http to a loopback address, if its keys come from discovery",
            ),
        }
        let Refresh { every, cool_down, max_staleness, timeout } = self.refresh;
        check(!cool_down.is_zero() && !timeout.is_zero(), "refresh", "has a cool_down or timeout of zero");
        check(cool_down <= every, "refresh", "has a cool_down that is longer than every");
        check(every <= max_staleness, "refresh", "has a max_staleness that is shorter than every");
        diagnostics
    }
}

// === impl Refresh ===

impl Refresh {
    /// Default of `every`.
    pub const REFRESH_INTERVAL: Duration = Duration::from_mins(5);
    /// Default of `cool_down`.
    pub const MIN_RETRY: Duration = Duration::from_secs(30);
    /// Default of `max_staleness`.
    pub const MAX_STALENESS: Duration = Duration::from_hours(6);
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            every: Self::REFRESH_INTERVAL,
            cool_down: Self::MIN_RETRY,
            max_staleness: Self::MAX_STALENESS,
            timeout: Self::TIMEOUT,
        }
    }
}
