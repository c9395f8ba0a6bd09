//! Creates, reads and names signing keys.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use logkey_client::output::{Column, Report, Table};
use serde_json::json;
use thiserror::Error;

/// The mode of a file with a private key: only its owner may read and write it.
const OWNER_ONLY: u32 = 0o600;
/// The mode of the file with the public keys, which the service may read as another user. It does not depend on
/// the file mode creation mask.
const EVERYONE: u32 = 0o644;

/// The files that [`generate`] created.
#[derive(Debug)]
pub(super) struct KeyPair {
    keys: Vec<(PathBuf, String)>,
    set: PathBuf,
}

/// Why a key cannot be read or created.
#[derive(Debug, Error)]
pub(in crate::cli) enum KeyError {
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("{} contains no usable private key: expected PEM with an EC (P-256) or RSA key; for another kind of key, add --alg", .0.display())]
    Unusable(PathBuf),
    #[error("the key could not be created")]
    Create,
    #[error("the public key cannot be derived from the private key")]
    Public(#[source] jsonwebtoken::errors::Error),
    #[error("the key set cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// Creates an ES256 and an RS256 key in `folder`, and the set of their public keys. It never overwrites a
/// file.
pub(super) fn generate(folder: &Path) -> Result<KeyPair, KeyError> {
    fs::create_dir_all(folder).map_err(|error| KeyError::Write(folder.to_owned(), error))?;
    let key_pairs = [("es256.pem", es256()?, Algorithm::ES256), ("rs256.pem", rs256()?, Algorithm::RS256)];
    let mut keys = Vec::new();
    let mut set = JwkSet { keys: Vec::new() };
    for (name, pem, algorithm) in key_pairs {
        let path = folder.join(name);
        let (key, _) = parse(pem.as_bytes(), Some(algorithm)).ok_or(KeyError::Create)?;
        let public = public(&key, algorithm)?;
        write_new(&path, &pem, OWNER_ONLY)?;
        keys.push((path, public.common.key_id.clone().unwrap_or_default()));
        set.keys.push(public);
    }
    let path = folder.join("jwks.json");
    let text = serde_json::to_string_pretty(&set).map_err(KeyError::Json)?;
    write_new(&path, &format!("{text}\n"), EVERYONE)?;
    Ok(KeyPair { keys, set: path })
}

/// Reads a private key. Without `algorithm`, the kind of the key determines it: ES256 or RS256.
pub(super) fn read(path: &Path, algorithm: Option<Algorithm>) -> Result<(EncodingKey, Algorithm), KeyError> {
    let text = fs::read(path).map_err(|error| KeyError::Read(path.to_owned(), error))?;
    parse(&text, algorithm).ok_or_else(|| KeyError::Unusable(path.to_owned()))
}

/// The RFC 7638 thumbprint of a key: its id without `--kid`.
pub(super) fn thumbprint(key: &EncodingKey, algorithm: Algorithm) -> Result<String, KeyError> {
    public(key, algorithm).map(|jwk| jwk.common.key_id.unwrap_or_default())
}

fn public(key: &EncodingKey, algorithm: Algorithm) -> Result<Jwk, KeyError> {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).map_err(KeyError::Public)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256).map_err(KeyError::Public)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}

fn parse(pem: &[u8], algorithm: Option<Algorithm>) -> Option<(EncodingKey, Algorithm)> {
    let rsa = || EncodingKey::from_rsa_pem(pem).ok();
    let ec = || EncodingKey::from_ec_pem(pem).ok();
    match algorithm {
        Some(Algorithm::EdDSA) => Some((EncodingKey::from_ed_pem(pem).ok()?, Algorithm::EdDSA)),
        Some(curve @ (Algorithm::ES256 | Algorithm::ES384)) => Some((ec()?, curve)),
        Some(other) => Some((rsa()?, other)),
        None => ec().map(|key| (key, Algorithm::ES256)).or_else(|| Some((rsa()?, Algorithm::RS256))),
    }
}

fn es256() -> Result<String, KeyError> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let der = key.and_then(|key| key.to_pkcs8v1()).map_err(|_unspecified| KeyError::Create)?;
    Ok(to_pem(der.as_ref()))
}

fn rs256() -> Result<String, KeyError> {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048);
    let der =
        key.and_then(|key| AsDer::<Pkcs8V1Der<'_>>::as_der(&key)).map_err(|_unspecified| KeyError::Create)?;
    Ok(to_pem(der.as_ref()))
}

fn to_pem(pkcs8: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new("PRIVATE KEY", pkcs8),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let result = options.open(path).and_then(|mut file| {
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        io::Write::write_all(&mut file, text.as_bytes())
    });
    result.map_err(|error| KeyError::Write(path.to_owned(), error))
}

// === impl KeyPair ===

impl KeyPair {
    /// The files and the ids of the keys in them.
    pub(super) fn report(&self) -> Report {
        let mut table = Table::new(&[Column::new("file"), Column::new("kid")], "").hidden();
        let (mut documents, mut notes) = (Vec::new(), Vec::new());
        for (path, kid) in &self.keys {
            let path = path.display().to_string();
            notes.push(format!("{path}  kid {kid}"));
            documents.push(json!({ "file": path, "kid": kid }));
            table.push([path, kid.clone()]);
        }
        let set = self.set.display().to_string();
        notes.push(format!("{set}  for jwks_file in [[auth.issuers]]"));
        Report::new(json!({ "keys": documents, "keySet": set }), table).notes(notes)
    }
}
