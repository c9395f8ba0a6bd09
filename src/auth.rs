//! Authentication and authorization: implements [`crate::ports::Authenticate`] and
//! [`crate::ports::Authorize`].
//! [`JwtAuthn`] verifies tokens (RFC 7519 and RFC 9068, with all requirements of RFC 8725).
//! [`CedarPolicy`] authorizes calls by the grants of the configuration and the operators' policies.

mod algorithm;
mod allowed_url;
mod cedar;
mod claim_path;
mod claims;
mod config;
mod discovery;
mod fetch;
mod header;
mod issuer;
mod jwks;
mod jwt;
mod keys;
mod policy_claims;
mod raw_token;
mod shared_cache;
mod strict_json;
#[cfg(test)]
mod tests;
mod token_cache;
mod token_error;
mod value_pattern;
mod verifying_key;

pub use self::{
    algorithm::{Algorithm, UnknownAlgorithm},
    cedar::{Applicability, CedarPolicy, Explanation, GrantPolicy, PolicyExplanation, PolicyFault},
    claim_path::{ClaimPath, InvalidClaimPath},
    config::{AudienceClaim, Config, ConfigFault, IssuerConfig, KeySource, Refresh},
    fetch::FetchError,
    jwt::JwtAuthn,
    keys::{KeySet, KeySetError, SkippedKey},
    token_error::TokenError,
    value_pattern::{InvalidValuePattern, ValuePattern},
};
