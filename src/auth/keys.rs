//! An issuer's public keys, each with the algorithms that it may verify.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use thiserror::Error;

use super::{
    algorithm::Algorithm,
    strict_json::{self, Members},
    token_error::TokenError,
    verifying_key::VerifyingKey,
};

/// The largest number of keys in a set.
const MAX_KEYS: usize = 512;

/// Why a key is reported that has the id of another one.
const AMBIGUOUS: &str = "has the id (kid) of a different key for the same algorithm";

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// The keys that an issuer published at one time. It never changes after it is built.
#[derive(Debug)]
pub struct KeySet {
    /// A number that is unique among all key sets of this process.
    pub(super) generation: u64,
    by_id: HashMap<Box<str>, Vec<Key>>,
    without_id: Vec<Key>,
    /// The keys that the service cannot use. They are logged for the issuer's administrators.
    pub unusable: Vec<SkippedKey>,
    /// The keys with the id of a different key for the same algorithm, logged too. Nobody can say which one the
    /// issuer means (RFC 7517, section 4.5), so no token with this id and algorithm is accepted.
    pub ambiguous: Vec<SkippedKey>,
    /// The number of keys that repeat another one of the set.
    pub repeated: usize,
}

/// A key for each algorithm that it may verify.
#[derive(Debug)]
struct Key(Vec<VerifyingKey>);

/// What a key is beside the keys before it in the set.
enum Added {
    Distinct,
    Repeated,
    Ambiguous,
}

/// A key of a set that the service cannot use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("key {} (kid {}): {reason}", .position, .kid.as_deref().unwrap_or("none"))]
pub struct SkippedKey {
    /// The index of the key in the set; the first is 0.
    pub position: usize,
    /// The `kid`, if it is printable and not too long.
    pub kid: Option<Box<str>>,
    /// Why the service cannot use the key.
    pub reason: &'static str,
}

/// Why a document is not a usable key set.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// Not `{"keys": [...]}`.
    #[error("not a JSON Web Key Set")]
    Malformed(#[from] serde_json::Error),
    /// More than [`MAX_KEYS`] keys.
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Box<RawValue>>,
}

// === impl KeySet ===

impl KeySet {
    /// Parses a JSON Web Key Set (RFC 7517, section 5). Skips keys that cannot be used, and keeps the others.
    ///
    /// # Errors
    ///
    /// [`KeySetError`] if the document is not a key set.
    pub fn decode(json: &[u8]) -> Result<Self, KeySetError> {
        // Parse as a map first, because serde also accepts an array for a struct.
        let members: HashMap<String, &RawValue> = serde_json::from_slice(json)?;
        drop(members);
        let Jwks { keys } = serde_json::from_slice(json)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut set = Self {
            generation: GENERATION.fetch_add(1, Relaxed),
            by_id: HashMap::new(),
            without_id: Vec::new(),
            unusable: Vec::new(),
            ambiguous: Vec::new(),
            repeated: 0,
        };
        for (position, json) in keys.iter().enumerate() {
            let jwk = strict_json::object(json.get().as_bytes()).unwrap_or_default();
            let kid = jwk.get("kid").and_then(Value::as_str);
            let skipped = |reason| {
                let kid = kid.filter(|kid| kid.len() <= 128 && kid.bytes().all(|b| b.is_ascii_graphic()));
                SkippedKey { position, kid: kid.map(Into::into), reason }
            };
            match Key::decode(&jwk).map(|key| set.add(key, kid)) {
                Ok(Added::Distinct) => {}
                Ok(Added::Repeated) => set.repeated += 1,
                Ok(Added::Ambiguous) => set.ambiguous.push(skipped(AMBIGUOUS)),
                Err(reason) => set.unusable.push(skipped(reason)),
            }
        }
        Ok(set)
    }

    /// Adds a key, unless it is the same as another one with the same id.
    fn add(&mut self, key: Key, kid: Option<&str>) -> Added {
        let same_id = match kid {
            Some(kid) => self.by_id.entry(kid.into()).or_default(),
            None => &mut self.without_id,
        };
        if same_id.iter().any(|other| other.equals(&key)) {
            return Added::Repeated;
        }
        let ambiguous = kid.is_some() && same_id.iter().any(|other| other.conflicts_with(&key));
        same_id.push(key);
        if ambiguous { Added::Ambiguous } else { Added::Distinct }
    }

    /// The number of usable keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.values().map(Vec::len).sum::<usize>() + self.without_id.len()
    }

    /// Whether the set has no usable key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.without_id.is_empty()
    }

    /// Whether the set has a key for one of these algorithms.
    #[must_use]
    pub fn has_key_for(&self, algorithms: &[Algorithm]) -> bool {
        let keys = || self.by_id.values().flatten().chain(&self.without_id);
        algorithms.iter().any(|algorithm| keys().any(|key| Key::for_algorithm(*algorithm)(key).is_some()))
    }

    /// The key that must verify a token with this header: the one with its `kid` and for its algorithm.
    /// Without a `kid`, the set must have exactly one key for the algorithm. If the key need not have an id,
    /// it may also be the only key for the algorithm, without one.
    pub(super) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        require_kid: bool,
    ) -> Result<&VerifyingKey, TokenError> {
        let for_algorithm = Key::for_algorithm(algorithm);
        let all = || self.by_id.values().flatten().chain(&self.without_id).filter_map(&for_algorithm);
        let Some(kid) = kid else {
            return only(all()).unwrap_or(Err(TokenError::KeyAmbiguous));
        };
        let named = self.by_id.get(kid).into_iter().flatten().filter_map(&for_algorithm);
        only(named).unwrap_or_else(|| {
            let without_id = self.without_id.iter().find_map(&for_algorithm);
            match without_id {
                Some(key) if !require_kid && all().all(|other| other.equals(key)) => Ok(key),
                Some(_) | None => Err(TokenError::KeyUnknown),
            }
        })
    }
}

/// The only key, if they are all equal; none if there is none.
fn only<'k>(
    mut keys: impl Iterator<Item = &'k VerifyingKey>,
) -> Option<Result<&'k VerifyingKey, TokenError>> {
    let first = keys.next()?;
    Some(if keys.all(|other| other.equals(first)) { Ok(first) } else { Err(TokenError::KeyAmbiguous) })
}

// === impl Key ===

impl Key {
    fn for_algorithm(algorithm: Algorithm) -> impl Fn(&Self) -> Option<&VerifyingKey> {
        move |key| key.0.iter().find(|key| key.algorithm() == algorithm)
    }

    fn equals(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| one.equals(other))
    }

    fn conflicts_with(&self, other: &Self) -> bool {
        self.0
            .iter()
            .any(|one| other.0.iter().any(|other| one.algorithm() == other.algorithm() && !one.equals(other)))
    }

    fn decode(jwk: &Members) -> Result<Self, &'static str> {
        let text = |name| jwk.get(name).map(|value| value.as_str().ok_or("a member is not a string"));
        let uses = text("use").transpose()?;
        // jwt-svid: SPIFFE Trust Domain and Bundle, section 4.2.2.
        if uses.is_some_and(|uses| uses != "sig" && uses != "jwt-svid") {
            return Err("not for signatures (use)");
        }
        if let Some(ops) = jwk.get("key_ops") {
            let ops = ops.as_array().ok_or("key_ops is not a list")?;
            if !ops.iter().any(|op| op == "verify") {
                return Err("not for verifying (key_ops)");
            }
        }
        if jwk.contains_key("d") {
            return Err("a private key, with which everyone could sign");
        }
        if jwk.get("kid").is_some_and(|kid| !kid.is_string()) {
            return Err("its id (kid) is not a string");
        }
        let parse = |name: &str| name.parse().map_err(|_unknown| "for an unsupported algorithm (alg)");
        let algorithm: Option<Algorithm> = text("alg").transpose()?.map(parse).transpose()?;
        let candidates: &[Algorithm] = match (text("kty").transpose()?, text("crv").transpose()?) {
            (Some("RSA"), None) => &[
                Algorithm::Rs256,
                Algorithm::Rs384,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Ps384,
                Algorithm::Ps512,
            ],
            (Some("EC"), Some("P-256")) => &[Algorithm::Es256],
            (Some("EC"), Some("P-384")) => &[Algorithm::Es384],
            (Some("EC"), Some("P-521")) => &[Algorithm::Es512],
            (Some("OKP"), Some("Ed25519")) => &[Algorithm::EdDsa],
            (Some("oct"), _) => return Err("a shared secret"),
            _ => return Err("of an unsupported type or curve (kty, crv)"),
        };
        let allowed =
            candidates.iter().filter(|candidate| algorithm.is_none_or(|bound| bound == **candidate));
        let keys = allowed.map(|one| VerifyingKey::from_jwk(jwk, *one)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            Err("its algorithm (alg) does not match its type (kty)")
        } else {
            Ok(Self(keys))
        }
    }
}
