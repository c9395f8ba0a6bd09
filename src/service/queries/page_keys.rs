//! The keys that seal page tokens. They come from the key that signs the audit log, so that tokens are valid
//! on every replica and after a restart.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::domain::time::Timestamp;

/// How long a token is valid, also after the key that sealed it was replaced.
pub(super) const LIFETIME: Duration = Duration::from_hours(24);

/// The keys that seal and open page tokens. A process has one instance.
pub struct PageTokens(ArcSwap<Vec<Arc<TokenKey>>>);

/// A key, with the time until which it opens tokens.
struct TokenKey {
    secret: [u8; 32],
    key: RandomizedNonceKey,
    /// `None` while the key is in the key file.
    until: Option<Timestamp>,
}

// === impl PageTokens ===

impl PageTokens {
    /// Starts with the secrets of the keys in the key file. The first one seals.
    #[must_use]
    pub fn new(secrets: &[[u8; 32]]) -> Self {
        Self(ArcSwap::from_pointee(secrets.iter().filter_map(TokenKey::new).collect()))
    }

    /// Replaces the keys. A key that is not among these still opens tokens for a day.
    pub fn replace(&self, secrets: &[[u8; 32]], now: Timestamp) {
        self.0.rcu(|current| {
            let reused = |secret: &[u8; 32]| {
                let known = current.iter().find(|key| key.secret == *secret && key.until.is_none());
                known.cloned().or_else(|| TokenKey::new(secret))
            };
            let removed = current.iter().filter(|key| !secrets.contains(&key.secret));
            let retained = removed.filter_map(|key| key.retained(now));
            secrets.iter().filter_map(reused).chain(retained).collect::<Vec<_>>()
        });
    }

    /// Encrypts a text that only a request with the same `bound` can open. `None` is not expected: it means
    /// that there is no key.
    pub(super) fn seal(&self, bound: &str, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let keys = self.0.load();
        let nonce = keys.first()?.key.seal_in_place_append_tag(Aad::from(bound), &mut text).ok()?;
        Some([&nonce.as_ref()[..], &text].concat())
    }

    /// Decrypts a text. `None` if no key that is valid now sealed it for this `bound`.
    pub(super) fn open(&self, bound: &str, sealed: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let keys = self.0.load();
        keys.iter().filter(|key| key.until.is_none_or(|until| until > now)).find_map(|key| {
            let (nonce, mut text) = (Nonce::try_assume_unique_for_key(nonce).ok()?, sealed.to_vec());
            key.key.open_in_place(nonce, Aad::from(bound), &mut text).ok().map(|text| text.to_vec())
        })
    }
}

impl fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageTokens({} keys)", self.0.load().len())
    }
}

// === impl TokenKey ===

impl TokenKey {
    /// The key of this secret. `None` is not expected: it means that the key has the wrong length.
    fn new(secret: &[u8; 32]) -> Option<Arc<Self>> {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, secret).ok()?;
        Some(Arc::new(Self { secret: *secret, key, until: None }))
    }

    /// The key after its removal from the key file. `None` when its last token has expired.
    fn retained(&self, now: Timestamp) -> Option<Arc<Self>> {
        let until = self.until.unwrap_or_else(|| now.plus(LIFETIME));
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &self.secret).ok()?;
        (until > now).then(|| Arc::new(Self { secret: self.secret, key, until: Some(until) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn text(keys: &PageTokens, sealed: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        keys.open("bound", sealed, now)
    }

    #[test]
    fn a_replaced_key_opens_tokens_for_a_day_and_no_longer() {
        let keys = PageTokens::new(&[[1; 32]]);
        let sealed = keys.seal("bound", b"text".to_vec()).unwrap();
        keys.replace(&[[2; 32]], NOW);
        keys.replace(&[[2; 32]], NOW.plus(Duration::from_hours(1)));
        let end = NOW.plus(LIFETIME);
        assert_eq!(text(&keys, &sealed, end.minus(Duration::from_secs(1))).unwrap(), b"text");
        assert_eq!(text(&keys, &sealed, end), None);
        keys.replace(&[[3; 32]], end);
        let known: Vec<_> = keys.0.load().iter().map(|key| key.secret[0]).collect();
        assert_eq!(known, [3, 2]);
    }

    #[test]
    fn a_key_that_comes_back_opens_and_seals_again() {
        let keys = PageTokens::new(&[[1; 32], [2; 32]]);
        keys.replace(&[[2; 32]], NOW);
        keys.replace(&[[1; 32]], NOW);
        let all: Vec<_> = keys.0.load().iter().map(|key| (key.secret[0], key.until.is_none())).collect();
        assert_eq!(all, [(1, true), (2, false)]);
    }
}
