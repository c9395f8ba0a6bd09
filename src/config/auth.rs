//! `[auth]`: whose tokens are taken, and what in them says which tenant they are of.

use std::{collections::HashMap, fs, time::Duration};

use url::Url;

use super::{section::Section, tree::Node, value, value::ValueError};
use crate::auth::{Algorithm, ClaimPath, Config, IssuerConfig, KeySet, KeySource, Refresh};

/// Default of `audiences`.
const AUDIENCE: &str = "logkey";
/// Least and most of `max_token_bytes`: fewer hold no token, more do not fit into the metadata of a call.
const TOKEN_BYTES: (usize, usize) = (1024, 24 * 1024);
/// Least of every length of time here but `leeway`.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// Most of them.
const MAX_WAIT: Duration = Duration::from_hours(24 * 366);

/// Reads `[auth]`.
pub(super) fn read(section: &Section<'_>) -> Config {
    let sections = section.sections("issuers");
    if sections.is_empty() {
        section.report(
            "issuers",
            "is required, since nobody could call without: write [[auth.issuers]] with issuer = \
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
    // Whatever the reader of tokens finds beyond what is told here with its place.
    if section.reader().is_text() {
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
            section.report("issuer", &format!("stands at {first} already: keep one of the two"));
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
    let max_lifetime = section.optional("max_lifetime", value::duration_within(SHORT_WAIT, MAX_WAIT));
    let refresh = read_refresh(&section.section("refresh"));
    let flag = |key, default| section.or_default(key, default, value::boolean);
    let [only_audience, require_nbf, require_at_jwt, accept_id_tokens, require_bound] = [
        flag("only_audience", false),
        flag("require_nbf", true),
        flag("require_at_jwt", false),
        flag("accept_id_tokens", false),
        flag("require_bound", false),
    ];

    let default = IssuerConfig::new(&issuer?, AUDIENCE, tenant_claim?, scope_claim?);
    Some(IssuerConfig {
        audiences: audiences.unwrap_or(default.audiences),
        only_audience,
        keys,
        refresh,
        algorithms: algorithms.unwrap_or(default.algorithms),
        tenant_claim_pattern,
        default_scopes: default_scopes.unwrap_or_default(),
        policy_claims: policy_claims.unwrap_or_default(),
        leeway: leeway.unwrap_or(default.leeway),
        require_nbf,
        require_at_jwt,
        accept_id_tokens,
        max_lifetime,
        require_bound,
        ..default
    })
}

fn read_refresh(section: &Section<'_>) -> Refresh {
    let default = Refresh::default();
    let time = |key, default| section.or_default(key, default, value::duration_within(SHORT_WAIT, MAX_WAIT));
    let refresh = Refresh {
        every: time("every", default.every),
        cool_down: time("cool_down", default.cool_down),
        max_staleness: time("max_staleness", default.max_staleness),
        timeout: time("timeout", default.timeout),
    };
    if refresh.cool_down > refresh.every {
        section.report("cool_down", "is longer than every: no fetch would be due when it is allowed");
    }
    if refresh.max_staleness < refresh.every {
        section.report(
            "max_staleness",
            "is shorter than every: keys would be forgotten before they are fetched again",
        );
    }
    refresh
}

fn read_keys(section: &Section<'_>, issuer: Option<&str>) -> KeySource {
    let uri = section.optional("jwks_uri", value::http_url);
    let file = section.readable_file("jwks_file");
    if section.has("jwks_uri") && section.has("jwks_file") {
        section.report("jwks_file", "and jwks_uri both stand here: keep one of them");
    }
    if let Some(uri) = uri {
        if uri.scheme() != "https" && !value::is_loopback(&uri) {
            section.report(
                "jwks_uri",
                "is not an https URL: whoever can change keys on their way can make tokens",
            );
        }
        return KeySource::JwksUri(uri);
    }
    if let Some(file) = file {
        match fs::read(&file).map(|json| KeySet::decode(&json)) {
            Ok(Ok(keys)) if keys.is_empty() => {
                section.warn("jwks_file", "leads to a key set without a usable key");
            }
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => section.report(
                "jwks_file",
                &format!(
                    "leads to {}, which is no use: {error}; {{\"keys\": [...]}} is expected",
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
            "is a shared secret's signature, which whoever verifies can make: write \"RS256\" or \"ES256\""
                .into(),
        );
    }
    if text.eq_ignore_ascii_case("none") {
        return Err("is no signature at all: write \"RS256\" or \"ES256\"".to_owned());
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
