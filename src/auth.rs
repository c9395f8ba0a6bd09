//! Who is calling and what they may do: adapters of [`crate::ports::Authenticate`] and
//! [`crate::ports::Authorize`].
//!
//! A token is judged by [`JwtAuthn`]: RFC 7519 and RFC 9068 with everything that RFC 8725 asks for.
//! A call is judged by [`CedarPolicy`]: what the configuration grants, and what operators add.

mod algorithm;
mod cedar;
mod claim_path;
mod claims;
mod config;
mod discovery;
mod fetch;
mod file;
mod flaw;
mod header;
mod issuer;
mod json;
mod jwks;
mod jwt;
mod keys;
mod policy_claims;
mod recent;
mod remembered;
#[cfg(test)]
mod tests;
mod value_pattern;

pub use self::{
    algorithm::{Algorithm, UnknownAlgorithm},
    cedar::{Applies, CedarPolicy, Explanation, GrantPolicy, Opinion, PolicyFault},
    claim_path::{ClaimPath, InvalidClaimPath},
    config::{Config, ConfigFault, IssuerConfig, KeySource, Refresh},
    fetch::FetchError,
    flaw::Flaw,
    jwt::JwtAuthn,
    keys::{KeySet, NotAKeySet, Unusable},
    value_pattern::{InvalidValuePattern, ValuePattern},
};
