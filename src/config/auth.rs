//! `[auth]`: the issuers whose tokens the service accepts, and the claims that name the tenant and scopes.

use std::{collections::HashMap, fs, time::Duration};

use url::Url;

use super::{section::Section, tree::Node, value, value::ValueError};
use crate::auth::{Algorithm, AudienceClaim, ClaimPath, Config, IssuerConfig, KeySet, KeySource, Refresh};

/// Default of `audiences`.
const AUDIENCE: &str = "logkey";
/// The range of `max_token_bytes`. Less does not hold a token; more does not fit into the metadata of a call.
const TOKEN_BYTES: (usize, usize) = (1024, 24 * 1024);
/// The minimum of every duration here except `leeway`.
const MIN_DURATION: Duration = Duration::from_secs(1);
/// The maximum of these durations.
const MAX_DURATION: Duration = Duration::from_hours(24 * 366);

/// Reads `[auth]`.
pub(super) fn read(section: &Section<'_>) -> Config {
    let sections = section.sections("issuers");
    if sections.is_empty() {
        section.report(
            "issuers",
            "is required, because nobody can call without an issuer: write [[auth.issuers]] with issuer = \
             \"https://idp.example.com\"",
        );
    }
    let mut config = Config::new(read_issuers(&sections));
    if let Some(bytes) = section.optional("max_token_bytes", token_bytes) {
        config.max_token_bytes = bytes;
    }
    if let Some(tokens) = section.optional("remembered_tokens", value::size) {
        config.remembered_tokens = tokens.get();
    }
    // The checks of the token verifier itself. They run only if nothing is wrong so far.
    if section.reader().is_clean() {
        for diagnostic in config.validate() {
            if let Some(issuer) = sections.get(diagnostic.index) {
                issuer.report(diagnostic.field, diagnostic.message);
            }
        }
    }
    config
}

fn read_issuers(sections: &[Section<'_>]) -> Vec<IssuerConfig> {
    let mut first_locations = HashMap::new();
    let mut issuers = Vec::new();
    for section in sections {
        let Some(issuer) = read_issuer(section) else { continue };
        if let Some(first) = first_locations.insert(issuer.issuer.clone(), section.location_of("issuer")) {
            let first = section.reader().location(first);
            section.report("issuer", &format!("is already defined at {first}: keep one of the two"));
        }
        issuers.push(issuer);
    }
    issuers
}

fn read_issuer(section: &Section<'_>) -> Option<IssuerConfig> {
    let issuer = section.required("issuer", "\"https://idp.example.com\"", value::text);
    let tenant_claim = claim(section, "tenant_claim", IssuerConfig::TENANT_CLAIM);
    let scope_claim = claim(section, "scope_claim", IssuerConfig::SCOPE_CLAIM);
    let keys = read_keys(section, issuer.as_deref());
    let text = |node: &_| value::text(node).map(String::into_boxed_str);
    let audiences = section.list("audiences", text);
    let algorithms = section.list("algorithms", algorithm);
    let tenant_claim_pattern = section.optional("tenant_claim_pattern", value::parsed);
    let default_scopes = section.list_of("default_scopes", text);
    let policy_claims = section.list_of("policy_claims", value::parsed);
    let leeway = value::duration_within(Duration::ZERO, IssuerConfig::MAX_LEEWAY);
    let leeway = section.optional("leeway", leeway);
    let max_lifetime = section.optional("max_lifetime", value::duration_within(MIN_DURATION, MAX_DURATION));
    let refresh = read_refresh(&section.section("refresh"));
    let flag = |key, default| section.or_default(key, default, value::boolean);
    let claims = [("aud", AudienceClaim::Aud), ("client_id", AudienceClaim::ClientId)];
    let audience_claim = section.or_default("audience_claim", AudienceClaim::Aud, value::one_of(&claims));
    let [
        may_grant_admin,
        only_audience,
        require_kid,
        require_nbf,
        require_at_jwt,
        accept_id_tokens,
        require_bound,
        may_assert_user,
    ] = [
        flag("may_grant_admin", false),
        flag("only_audience", false),
        flag("require_kid", true),
        flag("require_nbf", true),
        flag("require_at_jwt", false),
        flag("accept_id_tokens", false),
        flag("require_bound", false),
        flag("may_assert_user", false),
    ];

    let default = IssuerConfig::new(&issuer?, AUDIENCE, tenant_claim?, scope_claim?);
    Some(IssuerConfig {
        audiences: audiences.unwrap_or(default.audiences),
        audience_claim,
        only_audience,
        keys,
        refresh,
        algorithms: algorithms.unwrap_or(default.algorithms),
        require_kid,
        tenant_claim_pattern,
        default_scopes: default_scopes.unwrap_or_default(),
        may_grant_admin,
        policy_claims: policy_claims.unwrap_or_default(),
        leeway: leeway.unwrap_or(default.leeway),
        require_nbf,
        require_at_jwt,
        accept_id_tokens,
        max_lifetime,
        require_bound,
        may_assert_user,
        ..default
    })
}

fn read_refresh(section: &Section<'_>) -> Refresh {
    let default = Refresh::default();
    let time =
        |key, default| section.or_default(key, default, value::duration_within(MIN_DURATION, MAX_DURATION));
    let refresh = Refresh {
        every: time("every", default.every),
        cool_down: time("cool_down", default.cool_down),
        max_staleness: time("max_staleness", default.max_staleness),
        timeout: time("timeout", default.timeout),
    };
    if refresh.cool_down > refresh.every {
        section.report(
            "cool_down",
            "is longer than every: scheduled fetches would not be allowed yet; write a shorter time",
        );
    }
    if refresh.max_staleness < refresh.every {
        section.report(
            "max_staleness",
            "is shorter than every: keys would expire before the next fetch; write a longer time",
        );
    }
    refresh
}

fn read_keys(section: &Section<'_>, issuer: Option<&str>) -> KeySource {
    let uri = section.optional("jwks_uri", value::http_url);
    let file = section.readable_file("jwks_file");
    if section.has("jwks_uri") && section.has("jwks_file") {
        section.report("jwks_file", "and jwks_uri are both set: keep one of them");
    }
    if let Some(uri) = uri {
        if uri.scheme() != "https" && !value::is_loopback(&uri) {
            section.report(
                "jwks_uri",
                "is not an https URL: anyone who can change the keys in transit can forge tokens",
            );
        }
        return KeySource::JwksUri(uri);
    }
    if let Some(file) = file {
        match fs::read(&file).map(|json| KeySet::decode(&json)) {
            Ok(Ok(keys)) if keys.is_empty() => {
                section.warn("jwks_file", "refers to a key set without a usable key");
            }
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => section.report(
                "jwks_file",
                &format!(
                    "refers to {}, which is not a usable key set: {error}; expected {{\"keys\": [...]}}",
                    file.display()
                ),
            ),
        }
        return KeySource::JwksFile(file);
    }
    if !section.has("jwks_uri") && !section.has("jwks_file") {
        let secure =
            |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && value::is_loopback(url));
        if issuer.is_some_and(|issuer| !Url::parse(issuer).is_ok_and(|url| secure(&url))) {
            section.report(
                "issuer",
                "is not an https URL, so its keys cannot be discovered: add jwks_uri or jwks_file",
            );
        }
    }
    KeySource::Discovery
}

fn claim(section: &Section<'_>, key: &'static str, default: &str) -> Option<ClaimPath> {
    if section.has(key) { section.optional(key, value::parsed) } else { default.parse().ok() }
}

fn algorithm(node: &Node) -> Result<Algorithm, ValueError> {
    let text = value::text(node)?;
    if text.to_ascii_uppercase().starts_with("HS") {
        return Err(
            "is a signature with a shared secret, which every verifier could forge: write \"RS256\" or \"ES256\""
                .into(),
        );
    }
    if text.eq_ignore_ascii_case("none") {
        return Err("means no signature: write \"RS256\" or \"ES256\"".to_owned());
    }
    value::parsed(node)
}

fn token_bytes(node: &Node) -> Result<usize, ValueError> {
    let (min, max) = TOKEN_BYTES;
    let bytes = value::size(node)?.get();
    if (min..=max).contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!("is out of range: write a number of bytes from {min} to {max}"))
}
