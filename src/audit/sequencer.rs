//! Puts events into the tree and signs a checkpoint over them: apart from the calls, at most a second
//! behind, by one task of one process. Other processes follow what that one signs. A log that does not match
//! its last checkpoint is not continued.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use thiserror::Error;
use tlog_tiles::{Checkpoint, Hash};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{self, MissedTickBehavior},
};

use super::{
    checkpoint::{self, CheckpointError, SigningKey},
    leaf_cache::LeafCache,
    prover::{ProofService, Published},
    tree::{self, Edge},
};
use crate::ports::{
    Clock, EventReader, LeadershipStatus, SignedCheckpoint, StoredEvent, Tile, TreeStore, Unavailable,
};

/// How often it is looked for events.
const EVERY: Duration = Duration::from_millis(500);
/// Most events of one step.
const MAX_LEAVES: u32 = 2048;
/// How often another process's first checkpoint is looked for before this one serves without.
const STARTUP_RETRIES: u32 = 50;
/// How long closing waits for a last step.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The log is not what its last checkpoint says, so nothing is added to it.
#[derive(Debug, Error)]
pub enum Corruption {
    /// The store does not answer.
    #[error("the audit log cannot be read")]
    Unavailable(#[source] Unavailable),
    /// The newest checkpoint cannot be relied on.
    #[error("the audit log's newest checkpoint cannot be relied on")]
    Checkpoint(#[source] CheckpointError),
    /// Tiles are missing, or do not give the root that was signed.
    #[error("the audit log's tree does not match its checkpoint of {size} events: run `logkey audit verify`")]
    Tree {
        /// The checkpoint's size.
        size: u64,
    },
    /// An event is missing or was changed.
    #[error("event {seq} of the audit log is missing or was changed: run `logkey audit verify`")]
    Event {
        /// Its place in the log.
        seq: u64,
    },
    /// The checkpoint cannot be signed.
    #[error("a checkpoint cannot be signed")]
    Sign,
}

/// A log that was found to be what its last checkpoint says, and to which nothing is added yet.
pub struct VerifiedSequencer(SequencerState);

/// That another key is to sign from now on. Both are to be named in the log before it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The verifier key of the key that signed until now.
    pub from: String,
    /// That of the key that is to sign.
    pub to: String,
}

/// Hands a running sequencer another key.
#[derive(Clone, Debug)]
pub struct KeyChange {
    keys: mpsc::Sender<SigningKey>,
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

struct SequencerState {
    log: Arc<dyn EventReader>,
    tree: Arc<dyn TreeStore>,
    clock: Arc<dyn Clock>,
    key: SigningKey,
    /// While the next checkpoint hands over: the key that signs alone afterwards.
    next: Option<SigningKey>,
    rotation: Option<Rotation>,
    published: watch::Sender<Published>,
    /// None after an error, until it is loaded anew.
    edge: Option<Edge>,
    /// What the journal kept a moment ago, where it tells.
    tail: Option<Arc<LeafCache>>,
}

// === impl Sequencer ===

impl Sequencer {
    /// Checks that the log is what its last checkpoint says.
    ///
    /// # Errors
    ///
    /// [`Broken`], where it is not.
    pub async fn check(
        log: Arc<dyn EventReader>,
        tree: Arc<dyn TreeStore>,
        clock: Arc<dyn Clock>,
        key: SigningKey,
    ) -> Result<VerifiedSequencer, Corruption> {
        let published = watch::Sender::default();
        let (next, rotation) = (None, None);
        let mut steps =
            SequencerState { log, tree, clock, key, next, rotation, published, edge: None, tail: None };
        steps.load().await?;
        Ok(VerifiedSequencer(steps))
    }

    /// The way to another key.
    #[must_use]
    pub fn key_change(&self) -> KeyChange {
        self.keys.clone()
    }

    /// What tells others of the tree.
    #[must_use]
    pub fn prover(&self) -> ProofService {
        self.prover.clone()
    }

    /// Takes what is there into the tree, and ends.
    pub async fn close(self) {
        self.stop.notify_one();
        let abort = self.task.abort_handle();
        if time::timeout(CLOSE_WITHIN, self.task).await.is_err() {
            abort.abort();
        }
    }
}

// === impl Checked ===

impl VerifiedSequencer {
    /// Whether another key than the newest checkpoint's is to sign: then an event has to say so before
    /// [`Checked::go_on`].
    #[must_use]
    pub fn rotation(&self) -> Option<&Rotation> {
        self.0.rotation.as_ref()
    }

    /// Takes what the journal of this log hands over, instead of reading it back.
    #[must_use]
    pub fn with_leaf_cache(mut self, tail: Arc<LeafCache>) -> Self {
        self.0.tail = Some(tail);
        self
    }

    /// Signs what is in the log by now, and goes on from there: a log that was begun has a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Broken`], where that cannot be done.
    pub async fn start(mut self) -> Result<Sequencer, Corruption> {
        self.0.catch_up().await?;
        self.0.first_checkpoint().await?;
        let stop = Arc::new(Notify::new());
        let (keys, changes) = mpsc::channel(1);
        let steps = self.0;
        let published = steps.published.subscribe();
        let prover = ProofService::new(Arc::clone(&steps.tree), steps.key.origin().into(), published.clone());
        let task = tokio::spawn(steps.run(Arc::clone(&stop), changes));
        Ok(Sequencer { stop, keys: KeyChange { keys, published }, prover, task })
    }
}

impl fmt::Debug for VerifiedSequencer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked")
    }
}

// === impl KeyChange ===

impl KeyChange {
    /// Has this key sign. The checkpoint that follows is signed by it and by the one before, so that
    /// whoever knows that one can follow.
    pub async fn use_key(&self, key: SigningKey) {
        // A sequencer that has ended signs nothing more.
        drop(self.keys.send(key).await);
    }

    /// The keys that sign now, as verifier keys; the first one stays.
    #[must_use]
    pub fn verifiers(&self) -> Vec<String> {
        self.published.borrow().verifiers.to_vec()
    }
}

// === impl Steps ===

impl SequencerState {
    async fn run(mut self, stop: Arc<Notify>, mut changes: mpsc::Receiver<SigningKey>) {
        let mut ticks = time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = false;
        while !last {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.notified() => last = true,
                Some(key) = changes.recv() => self.rotate_key(key),
            }
            if let Err(error) = self.catch_up().await {
                self.edge = None;
                metrics::counter!("logkey_audit_sequencer_failures_total").increment(1);
                let error = &error as &dyn Error;
                tracing::error!(error, "the audit log's tree does not grow");
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Corruption> {
        match self.tree.lead().await.map_err(Corruption::Unavailable)? {
            LeadershipStatus::Follower => return self.follow().await,
            // Others have signed since this process last looked, or the store is another copy.
            LeadershipStatus::Acquired => self.edge = None,
            LeadershipStatus::Held => {}
        }
        let mut grown = false;
        while self.step().await? {
            grown = true;
        }
        if !grown
            && self.next.is_some()
            && let Some(edge) = self.edge.clone()
        {
            self.sign(Vec::new(), edge).await?;
        }
        if let Some(next) = self.next.take() {
            self.key = next;
            self.rotation = None;
        }
        self.publish();
        Ok(())
    }

    /// Tells what another process has signed.
    async fn follow(&mut self) -> Result<(), Corruption> {
        self.edge = None;
        let signed = self.tree.checkpoint().await.map_err(Corruption::Unavailable)?;
        let Some(signed) = signed else { return Ok(()) };
        let (note, origin) = (signed.note.as_bytes(), self.key.origin());
        let read = checkpoint::read(note, origin, &self.key.verifiers()).map_err(Corruption::Checkpoint)?;
        self.publish_if_changed(read.size());
        Ok(())
    }

    /// Waits for another process's first checkpoint: whoever serves can be verified.
    async fn first_checkpoint(&mut self) -> Result<(), Corruption> {
        for _ in 0..STARTUP_RETRIES {
            if self.edge.is_some() || self.published.borrow().size > 0 {
                break;
            }
            time::sleep(EVERY / 5).await;
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Signs the next checkpoint by both keys, and those after it by the new one.
    fn rotate_key(&mut self, key: SigningKey) {
        self.key = key.with_cosigner(&self.key);
        self.next = Some(key);
    }

    /// Tells those who wait how far the tree goes now.
    fn publish(&self) {
        self.publish_if_changed(self.edge.as_ref().map_or(0, Edge::size));
    }

    fn publish_if_changed(&self, size: u64) {
        self.published.send_if_modified(|published| {
            let verifiers = self.key.verifiers();
            let changed = published.size != size || *published.verifiers != *verifiers;
            if changed {
                *published = Published { size, verifiers: verifiers.into() };
            }
            changed
        });
    }

    /// Takes a number of events into the tree; whether there were any.
    async fn step(&mut self) -> Result<bool, Corruption> {
        if self.edge.is_none() {
            self.load().await?;
        }
        let Some(mut edge) = self.edge.clone() else { return Ok(false) };
        let leaves = self.read_leaves(edge.size()).await?;
        if leaves.is_empty() {
            return Ok(false);
        }
        let mut tiles = Vec::new();
        for leaf in leaves {
            edge.push(leaf, &mut tiles);
        }
        tiles.extend(edge.partial());
        self.sign(tiles, edge).await?;
        Ok(true)
    }

    /// The leaf hashes of the next events: as the journal wrote them, or as they can be read.
    async fn read_leaves(&self, size: u64) -> Result<Vec<Hash>, Corruption> {
        let handed = self.tail.as_ref().map(|tail| tail.after(size, MAX_LEAVES as usize)).unwrap_or_default();
        if !handed.is_empty() {
            return Ok(handed);
        }
        let events = self.log.after(size, MAX_LEAVES).await.map_err(Corruption::Unavailable)?;
        let position = |(seq, event): (u64, StoredEvent)| {
            if event.seq == seq {
                Ok(tree::leaf(event.body.as_bytes()))
            } else {
                Err(Corruption::Event { seq })
            }
        };
        (size + 1..).zip(events).map(position).collect()
    }

    async fn sign(&mut self, tiles: Vec<Tile>, edge: Edge) -> Result<(), Corruption> {
        let note = edge.root().and_then(|root| self.key.sign(edge.size(), root)).ok_or(Corruption::Sign)?;
        let checkpoint = SignedCheckpoint {
            size: edge.size(),
            time: self.clock.now(),
            note,
            handover: self.next.is_some(),
        };
        self.tree.grow(&tiles, &checkpoint).await.map_err(Corruption::Unavailable)?;
        self.edge = Some(edge);
        Ok(())
    }

    /// Takes up the tree where its last checkpoint left it.
    async fn load(&mut self) -> Result<(), Corruption> {
        let signed = self.tree.checkpoint().await.map_err(Corruption::Unavailable)?;
        let Some(signed) = signed else {
            self.edge = Some(Edge::default());
            return Ok(());
        };
        let checkpoint = self.read(signed.note.as_bytes())?;
        let size = checkpoint.size();
        let broken = Corruption::Tree { size };
        let edge = Edge::load(&*self.tree, size).await.map_err(Corruption::Unavailable)?;
        let edge = edge.filter(|edge| edge.root() == Some(*checkpoint.hash())).ok_or(broken)?;
        self.check_tail(&edge).await?;
        self.edge = Some(edge);
        Ok(())
    }

    /// Reads the newest checkpoint, and sees whether another key than the first one signed it: then the
    /// first one takes over.
    fn read(&mut self, note: &[u8]) -> Result<Checkpoint, Corruption> {
        let origin = self.key.origin();
        let all = self.key.verifiers();
        let checkpoint = checkpoint::read(note, origin, &all).map_err(Corruption::Checkpoint)?;
        let signed = |key: &&String| checkpoint::read(note, origin, std::slice::from_ref(*key)).is_ok();
        if self.next.is_none()
            && let Some(to) = all.first()
            && !signed(&to)
            && let Some(from) = all.iter().find(signed)
        {
            self.rotation = Some(Rotation { from: from.clone(), to: to.clone() });
            self.next = Some(self.key.clone());
        }
        Ok(checkpoint)
    }

    /// The events of the last tile are those that were signed. All of them: `audit verify`.
    async fn check_tail(&self, edge: &Edge) -> Result<(), Corruption> {
        let first = edge.size() & !0xff;
        let tail = self.log.after(first, 256).await.map_err(Corruption::Unavailable)?;
        let signed = edge.partial().into_iter().find(|tile| tile.level == 0);
        let signed = signed.map(|tile| tile.hashes).unwrap_or_default();
        let mut found = tail.into_iter();
        for (seq, hash) in (first + 1..).zip(signed.chunks(32)) {
            let same = |event: StoredEvent| event.seq == seq && tree::leaf(event.body.as_bytes()).0 == hash;
            if !found.next().is_some_and(same) {
                return Err(Corruption::Event { seq });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
