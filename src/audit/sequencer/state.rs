//! The state of the task: it reads new events, extends the tree, and signs it.

use std::{error::Error, sync::Arc, time::Duration};

use thiserror::Error;
use tlog_tiles::{Checkpoint, Hash};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{self, MissedTickBehavior},
};

use crate::{
    audit::{
        checkpoint::{self, CheckpointError, SigningKey},
        leaf_cache::LeafCache,
        prover::Published,
        tree::{self, Edge},
    },
    ports::{
        Clock, EventReader, LeadershipStatus, SignedCheckpoint, StoredEvent, Tile, TreeStore, Unavailable,
    },
};

/// How often the task reads new events.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The largest number of events in one step.
const MAX_LEAVES: u32 = 2048;
/// How many times a starting process looks for another process's first checkpoint before it serves without.
const STARTUP_RETRIES: u32 = 50;

/// Why the log cannot be continued.
#[derive(Debug, Error)]
pub enum Corruption {
    /// The store is not available.
    #[error("the audit log cannot be read")]
    Unavailable(#[source] Unavailable),
    /// The newest checkpoint is malformed, or none of the log's keys signed it.
    #[error("the audit log's newest checkpoint cannot be trusted")]
    Checkpoint(#[source] CheckpointError),
    /// Tiles are missing, or do not give the signed root.
    #[error("the audit log's tree does not match its checkpoint of {size} events: run `logkey audit verify`")]
    Tree {
        /// The checkpoint's size.
        size: u64,
    },
    /// An event is missing or was changed.
    #[error("event {seq} of the audit log is missing or was changed: run `logkey audit verify`")]
    Event {
        /// The position of the event.
        seq: u64,
    },
    /// The checkpoint cannot be signed.
    #[error("a checkpoint cannot be signed")]
    Sign,
}

/// A change of the signing key. An event must name both keys before the new key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The verifier key of the key that signed until now.
    pub from: String,
    /// The verifier key of the key that signs from now on.
    pub to: String,
}

pub(super) struct SequencerState {
    pub(super) log: Arc<dyn EventReader>,
    pub(super) tree: Arc<dyn TreeStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) key: SigningKey,
    /// The key that signs alone after the next checkpoint, which is a handover. None without a handover.
    pub(super) next: Option<SigningKey>,
    pub(super) rotation: Option<Rotation>,
    pub(super) published: watch::Sender<Published>,
    /// None after an error, until it is loaded again.
    pub(super) edge: Option<Edge>,
    /// The leaf hashes that the journal provides; none without a journal in this process.
    pub(super) leaf_cache: Option<Arc<LeafCache>>,
}

// === impl SequencerState ===

impl SequencerState {
    pub(super) async fn run(mut self, stop: Arc<Notify>, mut changes: mpsc::Receiver<SigningKey>) {
        let mut ticks = time::interval(POLL_INTERVAL);
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
                tracing::error!(error, "the audit log's tree cannot be extended");
            }
        }
    }

    pub(super) async fn catch_up(&mut self) -> Result<(), Corruption> {
        match self.tree.lead().await.map_err(Corruption::Unavailable)? {
            LeadershipStatus::Follower => return self.follow().await,
            // Another process may have signed since this one last looked, or the store may be another copy.
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

    /// Publishes what another process has signed.
    async fn follow(&mut self) -> Result<(), Corruption> {
        self.edge = None;
        let signed = self.tree.checkpoint().await.map_err(Corruption::Unavailable)?;
        let Some(signed) = signed else { return Ok(()) };
        let (note, origin) = (signed.note.as_bytes(), self.key.origin());
        let read = checkpoint::read(note, origin, &self.key.verifiers()).map_err(Corruption::Checkpoint)?;
        self.publish_if_changed(read.size());
        Ok(())
    }

    /// Waits for another process's first checkpoint, so that the log can be verified from the start.
    pub(super) async fn first_checkpoint(&mut self) -> Result<(), Corruption> {
        for _ in 0..STARTUP_RETRIES {
            if self.edge.is_some() || self.published.borrow().size > 0 {
                break;
            }
            time::sleep(POLL_INTERVAL / 5).await;
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Signs the next checkpoint with both keys, and later ones with the new key.
    fn rotate_key(&mut self, key: SigningKey) {
        self.key = key.with_cosigner(&self.key);
        self.next = Some(key);
    }

    /// Publishes the size of the tree to the tasks that wait for it.
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

    /// Adds the next events to the tree. Returns whether there were any.
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

    /// The leaf hashes of the next events, from the cache or from the store.
    async fn read_leaves(&self, size: u64) -> Result<Vec<Hash>, Corruption> {
        let cached = self.leaf_cache.as_ref().map(|cache| cache.after(size, MAX_LEAVES as usize));
        let cached = cached.unwrap_or_default();
        if !cached.is_empty() {
            return Ok(cached);
        }
        let events = self.log.after(size, MAX_LEAVES).await.map_err(Corruption::Unavailable)?;
        let leaf = |(seq, event): (u64, StoredEvent)| {
            if event.seq == seq {
                Ok(tree::leaf(event.body.as_bytes()))
            } else {
                Err(Corruption::Event { seq })
            }
        };
        (size + 1..).zip(events).map(leaf).collect()
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

    /// Loads the tree of the last checkpoint.
    pub(super) async fn load(&mut self) -> Result<(), Corruption> {
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

    /// Reads the newest checkpoint, and prepares a handover if another key than the first one signed it.
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

    /// Checks that the events of the last tile are the signed ones. `audit verify` checks all events.
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
