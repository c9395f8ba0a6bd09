//! The KMS keys and aliases of one account and Region.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use crate::policy::evaluation::Policy;

/// All keys and aliases.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    keys: HashMap<String, Arc<Key>>,
    /// `alias/name` to key id.
    aliases: BTreeMap<String, String>,
}

/// One key. A change replaces the whole value.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) account_id: String,
    /// `SYMMETRIC_DEFAULT`, `RSA_2048`, …
    pub(crate) spec: String,
    /// `ENCRYPT_DECRYPT`, `SIGN_VERIFY`, …
    pub(crate) usage: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, …
    pub(crate) state: String,
    /// `CUSTOMER` or `AWS`.
    pub(crate) manager: String,
    pub(crate) description: String,
    pub(crate) multi_region: bool,
    pub(crate) created: Timestamp,
    pub(crate) deletion: Option<Timestamp>,
    pub(crate) policy: Policy,
    pub(crate) tags: BTreeMap<String, String>,
}

// === impl KeyRing ===

impl KeyRing {
    pub(crate) fn key(&self, id: &str) -> Option<Arc<Key>> {
        self.keys.get(id).cloned()
    }

    /// The key that `alias/name` points to.
    pub(crate) fn aliased(&self, alias: &str) -> Option<Arc<Key>> {
        self.aliases.get(alias).and_then(|id| self.key(id))
    }

    pub(crate) fn put(&mut self, key: Key) -> Arc<Key> {
        let key = Arc::new(key);
        self.keys.insert(key.id.clone(), Arc::clone(&key));
        key
    }

    pub(crate) fn put_alias(&mut self, alias: &str, id: &str) {
        self.aliases.insert(alias.to_owned(), id.to_owned());
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// Aliases in order, with the key ids they point to.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&String, &String)> {
        self.aliases.iter()
    }
}

// === impl Key ===

impl Key {
    /// Whether the key can encrypt and decrypt data now.
    pub(crate) fn is_usable(&self) -> bool {
        ["Enabled", "Updating"].contains(&self.state.as_str())
    }

    /// Whether this is a symmetric encryption key, the only kind that `CloudWatch` Logs accepts.
    pub(crate) fn is_symmetric(&self) -> bool {
        self.spec == "SYMMETRIC_DEFAULT" && self.usage == "ENCRYPT_DECRYPT"
    }
}
