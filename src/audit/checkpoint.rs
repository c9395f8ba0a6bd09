//! Signed checkpoints (C2SP tlog-checkpoint as a signed note with Ed25519), and the key for them.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rand::RngCore as _;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
use thiserror::Error;
use tlog_tiles::{Checkpoint, Hash};

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The algorithm byte of Ed25519 in the keys of signed notes.
const ED25519: u8 = 1;
/// Longest note that is read, in bytes.
const MAX_NOTE: usize = 64 * 1024;

/// Signs checkpoints. It has no printing `Debug`: it is the secret on which the log stands.
pub struct SigningKey {
    origin: Box<str>,
    signer: StandardSigner,
    verifier: String,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the checkpoint key {path} cannot be read or made")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the checkpoint key {path} is not an Ed25519 key in PEM form: make one with openssl genpkey -algorithm ed25519"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The origin cannot be a key's name.
    #[error("checkpoint_origin cannot be the name of a key: no space and no plus, please")]
    Origin,
}

/// A note is no checkpoint of this log, or not signed by a key that is known.
#[derive(Debug, Error)]
pub enum BadCheckpoint {
    /// Not a signed note.
    #[error("this is not a signed note")]
    Note(#[source] signed_note::NoteError),
    /// No known key signed it, or one that is known did not.
    #[error("the checkpoint is not signed by the log's key")]
    Signature(#[source] signed_note::NoteError),
    /// A signed note that is not a checkpoint.
    #[error("the signed text is not a checkpoint")]
    Text,
    /// Another log's.
    #[error("the checkpoint is of the log {0:?}")]
    Origin(String),
    /// The key to check it with is not one.
    #[error("the verifier key cannot be read")]
    Verifier,
}

/// Where the key is when the configuration does not say: beside the database file.
#[must_use]
pub fn key_beside(database: &Path) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push(".checkpoint-key.pem");
    path.into()
}

/// Reads a signed checkpoint, and tells its size and root if one of the keys signed it.
///
/// # Errors
///
/// [`BadCheckpoint`].
pub fn read(note: &[u8], origin: &str, verifiers: &[String]) -> Result<Checkpoint, BadCheckpoint> {
    if note.len() > MAX_NOTE {
        return Err(BadCheckpoint::Text);
    }
    let known = verifiers.iter().map(|key| StandardVerifier::new(key));
    let known: Vec<_> = known.collect::<Result<_, _>>().map_err(|_bad| BadCheckpoint::Verifier)?;
    let known = VerifierList::new(known.into_iter().map(|key| Box::new(key) as _).collect());
    let note = Note::from_bytes(note).map_err(BadCheckpoint::Note)?;
    note.verify(&known).map_err(BadCheckpoint::Signature)?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|_malformed| BadCheckpoint::Text)?;
    if checkpoint.origin() == origin {
        Ok(checkpoint)
    } else {
        Err(BadCheckpoint::Origin(checkpoint.origin().to_owned()))
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// Reads the key, or makes it where there is no such file.
    ///
    /// # Errors
    ///
    /// [`KeyError`], with what to do.
    pub fn open_or_make(path: &Path, origin: &str) -> Result<Self, KeyError> {
        match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
            Ok(_) | Err(_) => {}
        }
        Self::open(path, origin)
    }

    /// Reads the key.
    ///
    /// # Errors
    ///
    /// [`KeyError`], with what to do.
    pub fn open(path: &Path, origin: &str) -> Result<Self, KeyError> {
        let file = |source| KeyError::File { path: path.to_owned(), source };
        let form = || KeyError::Form { path: path.to_owned() };
        let pem = fs::read_to_string(path).map_err(file)?;
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = BASE64_STANDARD.decode(body).map_err(|_bad| form())?;
        let seed: [u8; 32] =
            der.strip_prefix(&PKCS8_PREFIX).and_then(|seed| seed.try_into().ok()).ok_or_else(form)?;
        Self::from_seed(&seed, origin).ok_or(KeyError::Origin)
    }

    fn from_seed(seed: &[u8; 32], origin: &str) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = [&[ED25519], pair.public_key().as_ref()].concat();
        let id = signed_note::key_id(origin, &public);
        let verifier = format!("{origin}+{id:08x}+{}", BASE64_STANDARD.encode(&public));
        let secret = BASE64_STANDARD.encode([&[ED25519], &seed[..]].concat());
        let signer = StandardSigner::new(&format!("PRIVATE+KEY+{origin}+{id:08x}+{secret}")).ok()?;
        Some(Self { origin: origin.into(), signer, verifier })
    }

    /// What checks its signatures: a verifier key of signed notes, for auditors to keep.
    #[must_use]
    pub fn verifier(&self) -> &str {
        &self.verifier
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Signs the tree of this size and root; none where the parts make no note, which they do.
    pub(super) fn sign(&self, size: u64, root: Hash) -> Option<String> {
        let text = Checkpoint::new(&self.origin, size, root, "").ok()?.to_bytes();
        let mut note = Note::new(&text, &[]).ok()?;
        note.add_sigs(&[&self.signer]).ok()?;
        String::from_utf8(note.to_bytes()).ok()
    }
}

fn make(path: &Path) -> Result<(), KeyError> {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let body = BASE64_STANDARD.encode([&PKCS8_PREFIX[..], &seed[..]].concat());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    write_durably(path, pem.as_bytes()).map_err(|source| KeyError::File { path: path.to_owned(), source })
}

/// Puts a file there whole or not at all, and for good: a log that was signed with a key which a crash
/// then took away could not be continued.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier)
    }
}

#[cfg(test)]
mod tests;
