//! The arguments of `logkey token`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use jsonwebtoken::Algorithm;
use logkey_client::output::OutputArgs;

use super::claim::Claim;
use crate::{auth::ClaimPath, config};

/// Sign a token for trials, or create keys to sign with.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Create keys once, add them to the configuration, and sign:

  logkey token --new-key keys
  # in logkey.toml: [[auth.issuers]] issuer = \"http://127.0.0.1\", jwks_file = \"keys/jwks.json\"
  logkey token --key-file keys/es256.pem --issuer http://127.0.0.1 --tenant payments")]
pub struct TokenArgs {
    /// Create an ES256 and an RS256 key in this folder, and a jwks.json with their public keys
    #[arg(long, value_name = "DIR", conflicts_with_all = ["key_file", "issuer", "tenant"])]
    pub new_key: Option<PathBuf>,
    /// The private key to sign with, in PEM
    #[arg(long, value_name = "PEM", required_unless_present = "new_key")]
    pub key_file: Option<PathBuf>,
    /// The key's id [default: its thumbprint (RFC 7638), as in the jwks.json of --new-key]
    #[arg(long)]
    pub kid: Option<String>,
    /// The signature algorithm [default: ES256 for an EC key, RS256 for an RSA key]
    #[arg(long, value_enum)]
    pub alg: Option<Alg>,
    /// The iss claim, exactly as in [[auth.issuers]]
    #[arg(long, required_unless_present = "new_key")]
    pub issuer: Option<String>,
    /// The aud claim; you can repeat it
    #[arg(long, default_value = "logkey")]
    pub audience: Vec<String>,
    /// The value of the tenant claim
    #[arg(long, required_unless_present = "new_key")]
    pub tenant: Option<String>,
    /// The name of the tenant claim; dots separate the levels of a nested claim
    #[arg(long, value_name = "NAME", default_value = "tenant")]
    pub tenant_claim: ClaimPath,
    /// The sub claim: the caller
    #[arg(long, default_value = "someone")]
    pub subject: String,
    /// The scope claim: the scopes, separated by spaces; you can repeat it
    #[arg(long, default_value = "logkey:read logkey:associate logkey:disassociate")]
    pub scope: Vec<String>,
    /// The lifetime of the token
    #[arg(long, default_value = "10m", value_parser = lifetime)]
    pub ttl: Duration,
    /// A further claim as JSON, such as level=3; it replaces a claim of the same name; you can repeat it
    #[arg(long, value_name = "NAME=JSON")]
    pub claim: Vec<Claim>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
}

/// The signature algorithm of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Alg {
    /// RSA, PKCS #1 v1.5, SHA-256
    RS256,
    /// RSA, PSS, SHA-256
    PS256,
    /// ECDSA, P-256
    ES256,
    /// ECDSA, P-384
    ES384,
    /// Ed25519
    EdDSA,
}

fn lifetime(text: &str) -> Result<Duration, &'static str> {
    config::parse_duration(text).ok_or("expected a number and its unit, such as 10m")
}

// === impl Alg ===

impl From<Alg> for Algorithm {
    fn from(alg: Alg) -> Self {
        match alg {
            Alg::RS256 => Self::RS256,
            Alg::PS256 => Self::PS256,
            Alg::ES256 => Self::ES256,
            Alg::ES384 => Self::ES384,
            Alg::EdDSA => Self::EdDSA,
        }
    }
}
