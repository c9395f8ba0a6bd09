//! The keys that seal page tokens. They come from the key that signs the audit log, so that tokens are valid
//! on every replica and after a restart. The keys that left the key file are in the store for a day.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest::{SHA256, digest},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    domain::time::Timestamp,
    ports::{
        Unavailable,
        page_keys::{PageKeyStore, SealedPageKey},
    },
};

/// How long a token is valid, also after the key that sealed it was replaced.
pub(super) const LIFETIME: Duration = Duration::from_hours(24);

/// The keys that seal and open page tokens. A process has one instance.
pub struct PageTokens(ArcSwap<Vec<Arc<TokenKey>>>);

/// A key, with the time until which it opens tokens.
struct TokenKey {
    /// Names the key, and does not reveal it.
    id: Box<str>,
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

    /// Uses the secrets of the keys in the key file. The first one seals, and the newest one is the last. Keys that
    /// left the file open tokens for a day: they are in the store, encrypted with a key of the file. When this
    /// returns, the next process finds the keys of this file there too.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the store does not accept the keys. Nothing has changed then.
    pub async fn install(
        &self,
        store: &dyn PageKeyStore,
        secrets: &[[u8; 32]],
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let current: Vec<Arc<TokenKey>> = secrets.iter().filter_map(TokenKey::new).collect();
        let mut retired: Vec<Arc<TokenKey>> = Vec::new();
        let stored = store.load().await?;
        let opened = stored.iter().filter_map(|sealed| {
            let by = current.iter().find(|key| key.id == sealed.sealed_by)?;
            by.unseal(sealed)?.retained(sealed.until, now)
        });
        let in_memory = self.0.load_full();
        let removed = in_memory.iter().filter_map(|key| key.retained(key.until, now));
        for key in opened.chain(removed) {
            if !current.iter().chain(&retired).any(|known| known.id == key.id) {
                retired.push(key);
            }
        }
        if let Some(newest) = current.last() {
            let others = current.iter().chain(&retired).filter(|key| key.id != newest.id);
            let sealed: Vec<SealedPageKey> = others.filter_map(|key| newest.seal_key(key)).collect();
            store.save(&sealed, now).await?;
        }
        self.0.store(Arc::new(current.into_iter().chain(retired).collect()));
        Ok(())
    }

    /// Encrypts a text that only a request with the same `bound` can open. `None` is not expected: it means
    /// that there is no key.
    pub(super) fn seal(&self, bound: &str, text: Vec<u8>) -> Option<Vec<u8>> {
        self.0.load().first()?.seal(bound, text)
    }

    /// Decrypts a text. `None` if no key that is valid now sealed it for this `bound`.
    pub(super) fn open(&self, bound: &str, sealed: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        let keys = self.0.load();
        let mut valid = keys.iter().filter(|key| key.until.is_none_or(|until| until > now));
        valid.find_map(|key| key.open(bound, sealed))
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
        Self::until(secret, None)
    }

    fn until(secret: &[u8; 32], until: Option<Timestamp>) -> Option<Arc<Self>> {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, secret).ok()?;
        let digest = digest(&SHA256, &[&b"logkey page key "[..], secret].concat());
        let id = URL_SAFE_NO_PAD.encode(digest.as_ref().first_chunk::<16>()?).into();
        Some(Arc::new(Self { id, secret: *secret, key, until }))
    }

    /// The key after its removal from the key file. `None` when its last token has expired.
    fn retained(&self, until: Option<Timestamp>, now: Timestamp) -> Option<Arc<Self>> {
        let until = until.unwrap_or_else(|| now.plus(LIFETIME));
        if until > now { Self::until(&self.secret, Some(until)) } else { None }
    }

    fn seal(&self, bound: &str, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.key.seal_in_place_append_tag(Aad::from(bound), &mut text).ok()?;
        Some([&nonce.as_ref()[..], &text].concat())
    }

    fn open(&self, bound: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let (nonce, mut text) = (Nonce::try_assume_unique_for_key(nonce).ok()?, sealed.to_vec());
        self.key.open_in_place(nonce, Aad::from(bound), &mut text).ok().map(|text| text.to_vec())
    }

    /// Another key, encrypted with this one.
    fn seal_key(&self, other: &Self) -> Option<SealedPageKey> {
        let sealed = self.seal(&key_bound(&other.id), other.secret.to_vec())?;
        Some(SealedPageKey {
            sealed_by: self.id.clone(),
            id: other.id.clone(),
            sealed: URL_SAFE_NO_PAD.encode(sealed).into(),
            until: other.until,
        })
    }

    /// The key that this one encrypted. `None` if the stored text is something else.
    fn unseal(&self, stored: &SealedPageKey) -> Option<Arc<Self>> {
        let sealed = URL_SAFE_NO_PAD.decode(&*stored.sealed).ok()?;
        Self::new(self.open(&key_bound(&stored.id), &sealed)?.first_chunk()?)
    }
}

/// What an encrypted key is bound to. No request has this bound.
fn key_bound(id: &str) -> String {
    format!("page key {id}")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::testing::FakePageKeys;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn text(keys: &PageTokens, sealed: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        keys.open("bound", sealed, now)
    }

    /// What a process has whose key file holds these keys, the newest one last.
    fn started(store: &FakePageKeys, fills: &[u8], now: Timestamp) -> PageTokens {
        let keys = PageTokens::new(&secrets(fills));
        install(&keys, store, fills, now);
        keys
    }

    fn install(keys: &PageTokens, store: &FakePageKeys, fills: &[u8], now: Timestamp) {
        keys.install(store, &secrets(fills), now).now_or_never().unwrap().unwrap();
    }

    fn secrets(fills: &[u8]) -> Vec<[u8; 32]> {
        fills.iter().map(|fill| [*fill; 32]).collect()
    }

    #[test]
    fn a_replaced_key_opens_tokens_for_a_day_and_no_longer() {
        let store = FakePageKeys::default();
        let keys = started(&store, &[1], NOW);
        let sealed = keys.seal("bound", b"text".to_vec()).unwrap();
        install(&keys, &store, &[2], NOW);
        install(&keys, &store, &[2], NOW.plus(Duration::from_hours(1)));
        let end = NOW.plus(LIFETIME);
        assert_eq!(text(&keys, &sealed, end.minus(Duration::from_secs(1))).unwrap(), b"text");
        assert_eq!(text(&keys, &sealed, end), None);
        install(&keys, &store, &[3], end);
        let known: Vec<_> = keys.0.load().iter().map(|key| key.secret[0]).collect();
        assert_eq!(known, [3, 2]);
    }

    #[test]
    fn a_key_that_comes_back_opens_and_seals_again() {
        let store = FakePageKeys::default();
        let keys = started(&store, &[1, 2], NOW);
        install(&keys, &store, &[2], NOW);
        install(&keys, &store, &[1], NOW);
        let all: Vec<_> = keys.0.load().iter().map(|key| (key.secret[0], key.until.is_none())).collect();
        assert_eq!(all, [(1, true), (2, false)]);
    }

    #[test]
    fn tokens_outlive_rotations_and_restarts_of_every_replica_for_a_day() {
        let store = FakePageKeys::default();
        let sealed = started(&store, &[1], NOW).seal("bound", b"text".to_vec()).unwrap();
        // The old key seals until the rotation ends, because another replica may have only the old key.
        let both = started(&store, &[1, 2], NOW);
        let late = both.seal("bound", b"late".to_vec()).unwrap();
        assert_eq!(text(&PageTokens::new(&secrets(&[1])), &late, NOW).unwrap(), b"late");
        // Another replica starts only after the end of the rotation, and after that of a second one.
        let hours = |hours| NOW.plus(Duration::from_hours(hours));
        let after = started(&store, &[2], hours(1));
        let newer = after.seal("bound", b"newer".to_vec()).unwrap();
        for (fills, at) in [(&[2][..], 1), (&[2, 3], 2), (&[3], 3), (&[3], 24)] {
            let keys = started(&store, fills, hours(at));
            for (token, content) in [(&sealed, "text"), (&late, "late"), (&newer, "newer")] {
                assert_eq!(
                    text(&keys, token, hours(at)).as_deref(),
                    Some(content.as_bytes()),
                    "{fills:?} {at}"
                );
            }
        }
        let keys = started(&store, &[3], hours(26));
        assert_eq!((text(&keys, &sealed, hours(26)), text(&keys, &late, hours(26))), (None, None));
        assert_eq!(text(&keys, &newer, hours(26)).unwrap(), b"newer");
        let last = started(&store, &[3], hours(28));
        assert_eq!(text(&last, &newer, hours(28)), None);
    }

    #[test]
    fn a_stored_key_is_useless_without_the_key_file_and_no_other_text_is_one() {
        let store = FakePageKeys::default();
        let sealed = started(&store, &[1], NOW).seal("bound", b"text".to_vec()).unwrap();
        drop(started(&store, &[1, 2], NOW));
        for stored in store.all() {
            assert!(!format!("{stored:?}").contains(&URL_SAFE_NO_PAD.encode([1; 32])));
        }
        assert_eq!(text(&started(&store, &[9], NOW), &sealed, NOW), None);
        // Somebody who can write the table puts a chosen key there, or renames one.
        let mut own = store.all().pop().unwrap();
        own.id = "other".into();
        store.replace(vec![own.clone(), SealedPageKey { sealed: "AAAA".into(), ..own }]);
        let keys = started(&store, &[2], NOW);
        assert_eq!(keys.0.load().len(), 1);
        assert_eq!(text(&keys, &sealed, NOW), None);
    }
}
