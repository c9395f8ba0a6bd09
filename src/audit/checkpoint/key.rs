//! The key that signs checkpoints, and its file. During a rotation the file holds the new key and the old
//! one.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, Salt},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rand::RngCore as _;
use signed_note::{Note, Signer, StandardSigner};
use thiserror::Error;
use tlog_tiles::{Checkpoint, Hash};

use super::note;

/// The bytes before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The algorithm byte of Ed25519 in the keys of signed notes.
const ED25519: u8 = 1;
/// The PEM label of a key.
const PEM: &str = "PRIVATE KEY";
/// The largest number of keys in a file: the new key and the one that it replaces.
const MAX: usize = 2;

/// Why the signing key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read, created or replaced.
    #[error("the checkpoint key {path} cannot be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file does not hold one or two Ed25519 keys.
    #[error(
        "the checkpoint key {path} is not an Ed25519 key in PEM format: create one with `openssl genpkey -algorithm ed25519`"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// A rotation is in progress: the file already holds two keys.
    #[error(
        "the checkpoint key {path} still holds the previous key: remove it first with `logkey audit rotate-key --end`"
    )]
    TakingOver {
        /// The file.
        path: PathBuf,
    },
    /// The log has checkpoints, but the key that signed them is missing.
    #[error(
        "the checkpoint key {path} is missing, and without it the audit log cannot be continued: restore the file \
         from a backup; if the key is lost, `logkey audit restart --lost-key` begins a new log"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The origin is not a valid key name.
    #[error("checkpoint_origin is not a valid key name: remove spaces and plus signs")]
    Origin,
}

/// Signs checkpoints. Its `Debug` shows only verifier keys, because the log's integrity rests on the secret.
#[derive(Clone)]
pub struct SigningKey {
    origin: Box<str>,
    /// The key itself, followed by the key that it replaces while both sign.
    parts: Vec<Arc<Part>>,
}

struct Part {
    signer: StandardSigner,
    page_token_secret: [u8; 32],
    batch_secret: [u8; 32],
    verifier: String,
}

/// The default path of the signing key: next to the database file.
#[must_use]
pub fn default_key_path(database: &Path) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(".checkpoint-key.pem");
    path.into()
}

// === impl SigningKey ===

impl SigningKey {
    /// Reads the key. Creates it if the file does not exist.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; its text says what to do.
    pub fn open_or_create(path: &Path, origin: &str) -> Result<Self, KeyError> {
        match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Ok(_) | Err(_) => {}
        }
        Self::open(path, origin)
    }

    /// Reads the key from an existing file.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; its text says what to do.
    pub fn open(path: &Path, origin: &str) -> Result<Self, KeyError> {
        let form = || KeyError::Form { path: path.to_owned() };
        let seeds = seeds(path)?;
        let parts = seeds.iter().map(|seed| Part::from_seed(seed, origin).map(Arc::new));
        let parts: Option<Vec<_>> = parts.collect();
        let parts = parts.ok_or(KeyError::Origin)?;
        if parts.is_empty() || parts.len() > MAX {
            Err(form())
        } else {
            Ok(Self { origin: origin.into(), parts })
        }
    }

    /// Reads the key of a log that has checkpoints.
    ///
    /// # Errors
    ///
    /// [`KeyError::Missing`] if the file does not exist; otherwise as [`SigningKey::open`].
    pub fn open_used(path: &Path, origin: &str) -> Result<Self, KeyError> {
        match Self::open(path, origin) {
            Err(KeyError::File { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                Err(KeyError::Missing { path })
            }
            read => read,
        }
    }

    /// Adds a new key in front of the one in the file. From then on both sign. Replaces the file atomically.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the file is then unchanged.
    pub fn rotate(path: &Path, origin: &str) -> Result<Self, KeyError> {
        let seeds = seeds(path)?;
        let [old] = &seeds[..] else { return Err(KeyError::TakingOver { path: path.to_owned() }) };
        replace(path, &[seed(), *old])?;
        Self::open(path, origin)
    }

    /// Removes every key except the first from the file. Replaces the file atomically.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the file is then unchanged.
    pub fn drop_previous(path: &Path, origin: &str) -> Result<Self, KeyError> {
        let seeds = seeds(path)?;
        let first = seeds.first().ok_or_else(|| KeyError::Form { path: path.to_owned() })?;
        replace(path, &[*first])?;
        Self::open(path, origin)
    }

    #[cfg(test)]
    pub(in crate::audit) fn from_seed(seed: &[u8; 32], origin: &str) -> Option<Self> {
        let part = Arc::new(Part::from_seed(seed, origin)?);
        Some(Self { origin: origin.into(), parts: vec![part] })
    }

    #[cfg(test)]
    pub(super) fn signer(&self) -> &dyn Signer {
        &self.parts[0].signer
    }

    /// The verifier key of signed notes that checks this key's signatures. Auditors keep it.
    #[must_use]
    pub fn verifier(&self) -> &str {
        self.parts.first().map_or("", |part| &part.verifier)
    }

    /// The verifier keys of all keys that sign now. [`SigningKey::verifier`] is the first.
    #[must_use]
    pub fn verifiers(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.verifier.clone()).collect()
    }

    /// The secrets that seal page tokens, one of each key. The first one seals: that of the key which is
    /// replaced, because other replicas may not have the new key yet.
    #[must_use]
    pub fn page_token_secrets(&self) -> Vec<[u8; 32]> {
        self.parts.iter().rev().map(|part| part.page_token_secret).collect()
    }

    /// The log's name, the first line of its checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// This key together with the keys of `other` that it does not have.
    pub(in crate::audit) fn with_cosigner(&self, other: &Self) -> Self {
        let trusted_keys = self.verifiers();
        let more = other.parts.iter().filter(|part| !trusted_keys.contains(&part.verifier));
        let parts = self.parts.iter().chain(more).cloned().collect();
        Self { origin: self.origin.clone(), parts }
    }

    /// The secrets that authenticate batches, one of each key.
    pub(in crate::audit) fn batch_secrets(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.parts.iter().map(|part| &part.batch_secret)
    }

    /// Signs the tree of this size and root. `format_after` is the event after which the log has the current
    /// format. None is not expected: it means that the parts form no note.
    pub(in crate::audit) fn sign(&self, size: u64, root: Hash, format_after: Option<u64>) -> Option<String> {
        let extension = format_after.map(note::format_line).unwrap_or_default();
        let text = Checkpoint::new(&self.origin, size, root, &extension).ok()?.to_bytes();
        self.sign_text(std::str::from_utf8(&text).ok()?)
    }

    /// Signs a text, which ends with a newline, as a note.
    pub(in crate::audit) fn sign_text(&self, text: &str) -> Option<String> {
        let mut note = Note::new(text.as_bytes(), &[]).ok()?;
        let signers: Vec<&dyn Signer> = self.parts.iter().map(|part| &part.signer as _).collect();
        note.add_sigs(&signers).ok()?;
        String::from_utf8(note.to_bytes()).ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifiers().join(", "))
    }
}

// === impl Part ===

impl Part {
    fn from_seed(seed: &[u8; 32], origin: &str) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = [&[ED25519], pair.public_key().as_ref()].concat();
        let id = signed_note::key_id(origin, &public);
        let verifier = format!("{origin}+{id:08x}+{}", BASE64_STANDARD.encode(&public));
        let secret = BASE64_STANDARD.encode([&[ED25519], &seed[..]].concat());
        let signer = StandardSigner::new(&format!("PRIVATE+KEY+{origin}+{id:08x}+{secret}")).ok()?;
        let page_token_secret = derive(seed, origin, "page tokens")?;
        let batch_secret = derive(seed, origin, "batches")?;
        Some(Self { signer, page_token_secret, batch_secret, verifier })
    }
}

/// A secret for this purpose, from the signing key by HKDF (RFC 5869).
fn derive(seed: &[u8; 32], origin: &str, purpose: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    let info = ["logkey ", purpose, " of ", origin].map(str::as_bytes);
    let root = Salt::new(HKDF_SHA256, b"logkey signing key").extract(seed);
    root.expand(&info, HKDF_SHA256).ok()?.fill(&mut secret).ok()?;
    Some(secret)
}

fn seeds(path: &Path) -> Result<Vec<[u8; 32]>, KeyError> {
    let text = fs::read(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&text);
    let seed = |block: &pem::Pem| -> Option<[u8; 32]> {
        let der = block.contents().strip_prefix(&PKCS8_PREFIX).filter(|_| block.tag() == PEM)?;
        der.try_into().ok()
    };
    // The library ignores a block without an end, which a damaged file has.
    let marks = text.lines().filter(|line| line.starts_with('-')).count();
    let blocks = pem::parse_many(&*text).ok().filter(|blocks| 2 * blocks.len() == marks);
    let seeds = blocks.and_then(|blocks| blocks.iter().map(seed).collect::<Option<Vec<_>>>());
    seeds.filter(|seeds| !seeds.is_empty()).ok_or_else(|| KeyError::Form { path: path.to_owned() })
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    seed
}

fn text(seeds: &[[u8; 32]]) -> String {
    let block = |seed: &[u8; 32]| {
        let body = BASE64_STANDARD.encode([&PKCS8_PREFIX[..], &seed[..]].concat());
        format!("-----BEGIN {PEM}-----\n{body}\n-----END {PEM}-----\n")
    };
    seeds.iter().map(block).collect()
}

/// Creates a key file atomically and durably. If a crash removed a key that has signed, the log could not be
/// continued.
fn create(path: &Path) -> Result<(), KeyError> {
    replace(path, &[seed()])
}

/// Replaces the file atomically: the new file is complete and on disk before it is renamed.
fn replace(path: &Path, seeds: &[[u8; 32]]) -> Result<(), KeyError> {
    let file = |source| KeyError::File { path: path.to_owned(), source };
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(error)),
        Ok(()) | Err(_) => {}
    }
    write_new(&temporary, seeds).map_err(file)?;
    fs::rename(&temporary, path).map_err(file)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(file)
}

/// Writes a file that only its owner can read.
fn write_new(path: &Path, seeds: &[[u8; 32]]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text(seeds).as_bytes())?;
    file.sync_all()
}
