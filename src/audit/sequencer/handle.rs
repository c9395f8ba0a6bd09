//! The handles of the task: before it starts, while it runs, and for a change of the key.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time,
};

use super::{corruption::Corruption, rotation::Rotation, state::SequencerState};
use crate::{
    audit::{
        batch_tag::BatchTagger,
        checkpoint::SigningKey,
        leaf_cache::LeafCache,
        prover::{ProofService, Published},
    },
    ports::{Clock, EventReader, TreeStore},
};

/// How long closing waits for the last step.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A sequencer whose log matches its last checkpoint. It has not added anything yet.
pub struct VerifiedSequencer(SequencerState);

/// Gives a running sequencer another key.
#[derive(Clone, Debug)]
pub struct KeyChange {
    keys: mpsc::Sender<SigningKey>,
    tagger: Arc<BatchTagger>,
    published: watch::Receiver<Published>,
}

/// The running task.
#[derive(Debug)]
pub struct Sequencer {
    stop: Arc<Notify>,
    keys: KeyChange,
    prover: ProofService,
    task: JoinHandle<()>,
}

// === impl Sequencer ===

impl Sequencer {
    /// Checks that the log matches its last checkpoint. Signs the first checkpoint of an empty log, so that
    /// from then on a log without a checkpoint is not whole.
    ///
    /// # Errors
    ///
    /// [`Corruption`] if it does not match, or if there are events and no checkpoint.
    pub async fn check(
        log: Arc<dyn EventReader>,
        tree: Arc<dyn TreeStore>,
        clock: Arc<dyn Clock>,
        key: SigningKey,
    ) -> Result<VerifiedSequencer, Corruption> {
        let mut state = SequencerState::new(log, tree, clock, key);
        state.load_or_begin().await?;
        Ok(VerifiedSequencer(state))
    }

    /// A handle that changes the signing key.
    #[must_use]
    pub fn key_change(&self) -> KeyChange {
        self.keys.clone()
    }

    /// The service for checkpoints and proofs of this log.
    #[must_use]
    pub fn prover(&self) -> ProofService {
        self.prover.clone()
    }

    /// Adds the remaining events to the tree, and ends.
    pub async fn close(self) {
        self.stop.notify_one();
        let abort = self.task.abort_handle();
        if time::timeout(CLOSE_TIMEOUT, self.task).await.is_err() {
            abort.abort();
        }
    }
}

// === impl VerifiedSequencer ===

impl VerifiedSequencer {
    /// The change of the signing key, if the configured key is not the one that signed the newest checkpoint.
    /// An event must record it before [`Self::start`].
    #[must_use]
    pub fn rotation(&self) -> Option<&Rotation> {
        self.0.rotation.as_ref()
    }

    /// Authenticates the batches of this log's journal.
    #[must_use]
    pub fn tagger(&self) -> Arc<BatchTagger> {
        Arc::clone(&self.0.tagger)
    }

    /// Uses the leaf hashes from this log's journal instead of reading the events from the store.
    #[must_use]
    pub fn with_leaf_cache(mut self, leaf_cache: Arc<LeafCache>) -> Self {
        self.0.leaf_cache = Some(leaf_cache);
        self
    }

    /// Signs the events that are in the log now, and starts the task. A log with events therefore has a
    /// checkpoint when this returns.
    ///
    /// # Errors
    ///
    /// [`Corruption`] if the events cannot be signed.
    pub async fn start(mut self) -> Result<Sequencer, Corruption> {
        self.0.catch_up().await?;
        let stop = Arc::new(Notify::new());
        let (keys, changes) = mpsc::channel(1);
        let state = self.0;
        let (published, tagger) = (state.published.subscribe(), state.tagger());
        let prover = ProofService::new(Arc::clone(&state.tree), state.key.origin().into(), published.clone());
        let task = tokio::spawn(state.run(Arc::clone(&stop), changes));
        Ok(Sequencer { stop, keys: KeyChange { keys, tagger, published }, prover, task })
    }
}

impl fmt::Debug for VerifiedSequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedSequencer")
    }
}

// === impl KeyChange ===

impl KeyChange {
    /// Makes the sequencer sign with this key. Both the old and the new key sign the next checkpoint, so that
    /// an auditor who trusts the old key can follow.
    pub async fn use_key(&self, key: SigningKey) {
        self.tagger.use_key(&key);
        // The send fails only if the sequencer has ended, which signs nothing more.
        drop(self.keys.send(key).await);
    }

    /// The verifier keys of the keys that sign now. The first one remains after a handover.
    #[must_use]
    pub fn verifiers(&self) -> Vec<String> {
        self.published.borrow().key.verifiers()
    }

    /// The rotation from the key that signs now to this key, with its proof. `None` if it is the same key.
    #[must_use]
    pub fn rotation(&self, to: &SigningKey) -> Option<Rotation> {
        let Published { tree, key } = self.published.borrow().clone();
        (key.verifier() != to.verifier())
            .then(|| Rotation::new(key.verifier(), &to.with_cosigner(&key), &tree))?
    }
}
