//! What the configuration says of issuers and tokens, as types.

use std::{collections::HashSet, net::IpAddr, path::PathBuf, time::Duration};

use thiserror::Error;
use url::{Host, Url};

use super::{Algorithm, ClaimPath, ValuePattern};

/// Everything about tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who may issue tokens; every `iss` at most once.
    pub issuers: Vec<IssuerConfig>,
    /// Longest token, in bytes; longer ones are refused unread. Default [`Config::MAX_TOKEN_BYTES`].
    pub max_token_bytes: usize,
    /// How many verified tokens are remembered. Default [`Config::REMEMBERED_TOKENS`].
    pub remembered_tokens: usize,
}

/// One issuer, and what its tokens must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one setting of the configuration file")]
pub struct IssuerConfig {
    /// What `iss` must be, byte for byte.
    pub issuer: Box<str>,
    /// `aud` must name at least one of these.
    pub audiences: Vec<Box<str>>,
    /// Whether a token that names other audiences too is refused: such a token can be replayed here
    /// by whoever else receives it. Default false.
    pub only_audience: bool,
    /// Where its keys come from.
    pub keys: KeySource,
    /// How often they are fetched.
    pub refresh: Refresh,
    /// The algorithms it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// The claim that says for whom a token speaks.
    pub tenant_claim: ClaimPath,
    /// Which part of that claim names the tenant; the whole claim where there is no pattern.
    pub tenant_claim_pattern: Option<ValuePattern>,
    /// The claim with the scopes: a text with spaces between them, or a list of texts.
    pub scope_claim: ClaimPath,
    /// The scopes of tokens that have no scope claim at all, as those of workloads. Default none.
    pub default_scopes: Vec<Box<str>>,
    /// The claims that policies see as tags of the caller, at most [`IssuerConfig::MAX_POLICY_CLAIMS`].
    /// Default none.
    pub policy_claims: Vec<ClaimPath>,
    /// How far the issuer's clock and ours may differ. Default [`IssuerConfig::LEEWAY`], at most
    /// [`IssuerConfig::MAX_LEEWAY`].
    pub leeway: Duration,
    /// Whether `nbf` must be there; checked in any case where it is. Default true; many issuers send
    /// none, and then `iat` alone tells that a token is not from the future.
    pub require_nbf: bool,
    /// Whether `typ` must be `at+jwt` (RFC 9068, section 4). Default false.
    pub require_at_jwt: bool,
    /// Whether identity tokens are taken too, as of issuers that make no others. Default false.
    pub accept_id_tokens: bool,
    /// The longest a token may live, `exp` less `iat`; needs `iat`. Default none.
    pub max_lifetime: Option<Duration>,
    /// Whether every token must be bound to the client's certificate (RFC 8705). Default false.
    pub require_bound: bool,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JSON Web Key Set at this address: HTTPS, or HTTP to this machine.
    JwksUri(Url),
    /// A JSON Web Key Set in this file, read again whenever it changed.
    JwksFile(PathBuf),
    /// The address that the issuer's `OpenID` Connect discovery document names.
    Discovery,
}

/// How often keys are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// How old the keys may grow before they are fetched again in the background: the longest that a
    /// key lives on after the issuer removed it. Default [`Refresh::EVERY`].
    pub every: Duration,
    /// Least time between the starts of two fetches, however the first ended. Default
    /// [`Refresh::COOL_DOWN`].
    pub cool_down: Duration,
    /// How old known keys may grow while the issuer cannot be reached, before nothing can be said of
    /// its tokens. Default [`Refresh::MAX_STALENESS`].
    pub max_staleness: Duration,
    /// The longest one fetch may take, redirects included. Default [`Refresh::TIMEOUT`].
    pub timeout: Duration,
}

/// One thing that is wrong with the settings of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("issuer {issuer}: {field} {message}")]
pub struct ConfigFault {
    /// The place of the issuer in [`Config::issuers`], from 0.
    pub index: usize,
    /// Its `iss`.
    pub issuer: Box<str>,
    /// The setting.
    pub field: &'static str,
    /// What is wrong with it, to be read after its name.
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

    /// Everything that is wrong with the issuers.
    #[must_use]
    pub fn validate(&self) -> Vec<ConfigFault> {
        let mut names = HashSet::new();
        let mut diagnostics = Vec::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            let twice = (!names.insert(&issuer.issuer)).then_some(("issuer", "stands here twice"));
            diagnostics.extend(issuer.diagnostics().into_iter().chain(twice).map(|(field, message)| {
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
    /// Longest `leeway`.
    pub const MAX_LEEWAY: Duration = Duration::from_mins(5);
    /// Most `policy_claims`.
    pub const MAX_POLICY_CLAIMS: usize = 16;
    /// Default of `tenant_claim`.
    pub const TENANT_CLAIM: &str = "tenant";
    /// Default of `scope_claim`.
    pub const SCOPE_CLAIM: &str = "scope";

    /// This issuer with these claims and every other default: keys by discovery, RS256 and ES256.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, tenant_claim: ClaimPath, scope_claim: ClaimPath) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            only_audience: false,
            keys: KeySource::Discovery,
            refresh: Refresh::default(),
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
            tenant_claim,
            tenant_claim_pattern: None,
            scope_claim,
            default_scopes: Vec::new(),
            policy_claims: Vec::new(),
            leeway: Self::LEEWAY,
            require_nbf: true,
            require_at_jwt: false,
            accept_id_tokens: false,
            max_lifetime: None,
            require_bound: false,
        }
    }

    /// Where its discovery document is (`OpenID` Connect Discovery 1.0, section 4); none if the issuer
    /// is no URL.
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
        check(!self.audiences.is_empty(), "audiences", "is empty: name what aud must hold");
        check(self.audiences.iter().all(|aud| !aud.is_empty()), "audiences", "holds an empty name");
        check(!self.algorithms.is_empty(), "algorithms", "is empty: name RS256 or ES256 at least");
        check(self.leeway <= Self::MAX_LEEWAY, "leeway", "is over 5m");
        check(
            self.max_lifetime.is_none_or(|limit| !limit.is_zero()),
            "max_lifetime",
            "is zero, so that no token could be accepted",
        );
        let listed: HashSet<String> = self.policy_claims.iter().map(ToString::to_string).collect();
        check(listed.len() == self.policy_claims.len(), "policy_claims", "names a claim twice");
        check(listed.len() <= Self::MAX_POLICY_CLAIMS, "policy_claims", "holds more than 16 claims");
        check(
            !(self.accept_id_tokens && self.require_at_jwt),
            "accept_id_tokens",
            "and require_at_jwt contradict each other: keep one of them",
        );
        match &self.keys {
            KeySource::JwksUri(url) => check(is_secure(url), "jwks_uri", insecure),
            KeySource::JwksFile(_) => {}
            KeySource::Discovery => check(
                self.discovery_url().is_some_and(|url| is_secure(&url)),
                "issuer",
                "must be an https URL, or http to a loopback address, for its keys to be discovered",
            ),
        }
        let Refresh { every, cool_down, max_staleness, timeout } = self.refresh;
        check(!cool_down.is_zero() && !timeout.is_zero(), "refresh", "holds a zero");
        check(cool_down <= every, "refresh", "has a cool_down longer than the refresh itself");
        check(every <= max_staleness, "refresh", "has a max_staleness shorter than the refresh itself");
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

/// Whether what is fetched from there cannot be changed on the way.
pub(super) fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether the host is this machine, by its address or as `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).to_canonical().is_loopback(),
        None => false,
    }
}
