//! The state of the task: it reads new events, extends the tree, and signs it.

use std::{error::Error, sync::Arc, time::Duration};

use tlog_tiles::{Checkpoint, Hash};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{self, MissedTickBehavior},
};

use super::{corruption::Corruption, rotation::Rotation};
use crate::{
    audit::{
        batch_tag::BatchTagger,
        checkpoint::{self, SigningKey},
        leaf_cache::LeafCache,
        proof::StatementTree,
        prover::Published,
        tail::{Tail, TailFault},
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

pub(super) struct SequencerState {
    pub(super) log: Arc<dyn EventReader>,
    pub(super) tree: Arc<dyn TreeStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) key: SigningKey,
    pub(super) tagger: Arc<BatchTagger>,
    /// The event after which batches have tags. None until a log of an earlier release is upgraded.
    format_after: Option<u64>,
    tail: Tail,
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
    pub(super) fn new(
        log: Arc<dyn EventReader>,
        tree: Arc<dyn TreeStore>,
        clock: Arc<dyn Clock>,
        key: SigningKey,
    ) -> Self {
        let empty = StatementTree { size: 0, root: tlog_tiles::EMPTY_HASH };
        Self {
            log,
            tree,
            clock,
            tagger: BatchTagger::new(&key),
            format_after: None,
            tail: Tail::default(),
            next: None,
            rotation: None,
            published: watch::Sender::new(Published { tree: empty, key: key.clone() }),
            edge: None,
            leaf_cache: None,
            key,
        }
    }

    pub(super) fn tagger(&self) -> Arc<BatchTagger> {
        Arc::clone(&self.tagger)
    }

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
            let caught_up = self.catch_up().await;
            let foreign = matches!(caught_up, Err(Corruption::Foreign { .. }));
            metrics::gauge!("logkey_audit_foreign_events").set(f64::from(u8::from(foreign)));
            if let Err(error) = caught_up {
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
        if self.format_after.is_none() {
            grown |= self.upgrade().await?;
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
        if let Some(edge) = &self.edge {
            self.publish(edge.size(), edge.root().ok_or(Corruption::Sign)?);
        }
        Ok(())
    }

    /// From here on accepts only batches with tags, unless a process of an earlier release may still write.
    async fn upgrade(&mut self) -> Result<bool, Corruption> {
        if !self.tree.refuse_untagged().await.map_err(Corruption::Unavailable)? {
            return Ok(false);
        }
        while self.step().await? {}
        let Some(edge) = self.edge.clone() else { return Ok(false) };
        self.format_after = Some(edge.size());
        self.sign(Vec::new(), edge).await?;
        Ok(true)
    }

    /// Publishes what another process has signed.
    async fn follow(&mut self) -> Result<(), Corruption> {
        self.edge = None;
        let signed = self.tree.checkpoint().await.map_err(Corruption::Unavailable)?;
        let Some(signed) = signed else { return Ok(()) };
        let (note, origin) = (signed.note.as_bytes(), self.key.origin());
        let read = checkpoint::read(note, origin, &self.key.verifiers()).map_err(Corruption::Checkpoint)?;
        self.publish(read.size(), *read.hash());
        Ok(())
    }

    /// Loads the tree of the last checkpoint. Signs the first one of an empty log, or waits until the process
    /// that leads has signed it.
    pub(super) async fn load_or_begin(&mut self) -> Result<(), Corruption> {
        for _ in 0..STARTUP_RETRIES {
            if self.load().await? {
                return self.check_unsigned().await;
            }
            if self.tree.lead().await.map_err(Corruption::Unavailable)? != LeadershipStatus::Follower {
                // Another process may have signed before this one became the leader.
                if self.load().await? {
                    return self.check_unsigned().await;
                }
                self.format_after = Some(0);
                return self.sign(Vec::new(), Edge::default()).await;
            }
            time::sleep(POLL_INTERVAL / 5).await;
        }
        Err(Corruption::NotBegun)
    }

    /// Signs the next checkpoint with both keys, and later ones with the new key.
    fn rotate_key(&mut self, key: SigningKey) {
        self.key = key.with_cosigner(&self.key);
        self.next = Some(key);
    }

    /// Publishes the signed tree to the tasks that wait for it.
    fn publish(&self, size: u64, root: Hash) {
        self.tagger.set_signed(size);
        self.published.send_if_modified(|published| {
            let changed = published.tree.size != size || published.key.verifiers() != self.key.verifiers();
            if changed {
                *published = Published { tree: StatementTree { size, root }, key: self.key.clone() };
            }
            changed
        });
    }

    /// Adds the next events to the tree. Returns whether there were any.
    async fn step(&mut self) -> Result<bool, Corruption> {
        if self.edge.is_none() && !self.load().await? {
            return Err(Corruption::NoCheckpoint);
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

    /// The leaf hashes of the next events, from the journal of this process or from the store. Those from the
    /// store have to be authentic.
    async fn read_leaves(&mut self, size: u64) -> Result<Vec<Hash>, Corruption> {
        let cached = self.leaf_cache.as_ref().map(|cache| cache.after(size, MAX_LEAVES as usize));
        let cached = cached.unwrap_or_default();
        if !cached.is_empty() {
            self.tail.skip_to(size + cached.len() as u64);
            return Ok(cached);
        }
        let Some(format_after) = self.format_after else { return self.read_untagged_leaves(size).await };
        let page = self.tail.read(&*self.log, &self.tagger, size, format_after).await;
        let page = page.map_err(Corruption::Unavailable)?;
        match page.fault {
            Some(TailFault::Missing(seq)) if page.leaves.is_empty() => Err(Corruption::Event { seq }),
            Some(TailFault::Foreign(seq)) if page.leaves.is_empty() => Err(Corruption::Foreign { seq }),
            Some(_) | None => Ok(page.leaves),
        }
    }

    /// Checks that the events which no checkpoint covers are authentic, before anything is added to them.
    async fn check_unsigned(&mut self) -> Result<(), Corruption> {
        let Some(signed) = self.edge.as_ref().map(Edge::size).filter(|_| self.format_after.is_some()) else {
            return Ok(());
        };
        let mut size = signed;
        loop {
            let leaves = self.read_leaves(size).await?;
            if leaves.is_empty() {
                self.tail.skip_to(signed);
                return Ok(());
            }
            size += leaves.len() as u64;
        }
    }

    /// The leaf hashes of events that an earlier release wrote.
    async fn read_untagged_leaves(&mut self, size: u64) -> Result<Vec<Hash>, Corruption> {
        let events = self.log.after(size, MAX_LEAVES).await.map_err(Corruption::Unavailable)?;
        let leaf = |(seq, event): (u64, StoredEvent)| {
            if event.seq == seq {
                Ok(tree::leaf(event.body.as_bytes()))
            } else {
                Err(Corruption::Event { seq })
            }
        };
        let leaves: Vec<Hash> = (size + 1..).zip(events).map(leaf).collect::<Result<_, _>>()?;
        if !leaves.is_empty() {
            let last = size + leaves.len() as u64;
            tracing::warn!(
                first = size + 1,
                last,
                "signing events that an earlier release may have written, without proof of their origin"
            );
            self.tail.skip_to(last);
        }
        Ok(leaves)
    }

    async fn sign(&mut self, tiles: Vec<Tile>, edge: Edge) -> Result<(), Corruption> {
        let note = edge
            .root()
            .and_then(|root| self.key.sign(edge.size(), root, self.format_after))
            .ok_or(Corruption::Sign)?;
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

    /// Loads the tree of the last checkpoint. Returns `false` if the log is empty.
    async fn load(&mut self) -> Result<bool, Corruption> {
        let signed = self.tree.checkpoint().await.map_err(Corruption::Unavailable)?;
        let Some(signed) = signed else {
            return if self.is_empty().await.map_err(Corruption::Unavailable)? {
                Ok(false)
            } else {
                Err(Corruption::NoCheckpoint)
            };
        };
        let checkpoint = self.read(signed.note.as_bytes())?;
        let size = checkpoint.size();
        let broken = Corruption::Tree { size };
        let edge = Edge::load(&*self.tree, size).await.map_err(Corruption::Unavailable)?;
        let edge = edge.filter(|edge| edge.root() == Some(*checkpoint.hash())).ok_or(broken)?;
        self.check_tail(&edge).await?;
        self.format_after = checkpoint::format_after(&checkpoint);
        self.tagger.set_signed(size);
        self.tail.skip_to(size);
        self.edge = Some(edge);
        Ok(true)
    }

    async fn is_empty(&self) -> Result<bool, Unavailable> {
        Ok(self.log.after(0, 1).await?.is_empty()
            && self.log.count_misplaced().await? == 0
            && self.tree.tiles(&[(0, 0)]).await?.is_empty())
    }

    /// Reads the newest checkpoint, and prepares a handover if another key than the first one signed it.
    fn read(&mut self, note: &[u8]) -> Result<Checkpoint, Corruption> {
        let origin = self.key.origin();
        let all = self.key.verifiers();
        let checkpoint = checkpoint::read(note, origin, &all).map_err(Corruption::Checkpoint)?;
        let signed = |key: &&String| checkpoint::read(note, origin, std::slice::from_ref(*key)).is_ok();
        if self.next.is_none()
            && all.first().is_some_and(|to| !signed(&to))
            && let Some(from) = all.iter().find(signed)
        {
            let tree = StatementTree { size: checkpoint.size(), root: *checkpoint.hash() };
            self.rotation = Some(Rotation::new(from, &self.key, &tree).ok_or(Corruption::Sign)?);
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
