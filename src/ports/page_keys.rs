//! Keeps the keys of page tokens that have left the key file, encrypted with a key that is in it. SQLite and
//! PostgreSQL implement it.

use async_trait::async_trait;

use super::unavailable::Unavailable;
use crate::domain::time::Timestamp;

/// A key of page tokens, encrypted with another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPageKey {
    /// The id of the key that it is encrypted with.
    pub sealed_by: Box<str>,
    /// The id of the key.
    pub id: Box<str>,
    /// The encrypted key, as text.
    pub sealed: Box<str>,
    /// Until when the key opens tokens. `None` while it is in the key file.
    pub until: Option<Timestamp>,
}

/// Keeps such keys.
#[async_trait]
pub trait PageKeyStore: Send + Sync + 'static {
    /// All keys.
    async fn load(&self) -> Result<Vec<SealedPageKey>, Unavailable>;

    /// Stores keys durably, and deletes those whose time ended before `now`. The time of a key that ends does not
    /// change.
    async fn save(&self, keys: &[SealedPageKey], now: Timestamp) -> Result<(), Unavailable>;
}
