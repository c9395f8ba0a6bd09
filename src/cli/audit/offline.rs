//! The log, opened for writing: what a running service does for itself. A file is this process's alone; on a
//! server, the services that share it may go on, and one of them signs.

use std::sync::Arc;

use super::{Failure, OpenLog};
use crate::{
    app::SystemClock,
    audit::{self, Journal, Sequencer, archive::ArchiveInputs, checkpoint::SigningKey, rotation},
    ports::{AuditTree, Clock, LeadershipStatus},
    store::{self, Store},
};

/// An open log that takes events and signs them.
pub(super) struct StandaloneSequencer {
    store: Store,
    journal: Journal,
    sequencer: Sequencer,
    signed: Arc<dyn AuditTree>,
    key: SigningKey,
    signs: bool,
}

// === impl Offline ===

impl StandaloneSequencer {
    /// Opens it, and says in it where another key is to sign.
    pub(super) async fn open(log: &OpenLog) -> Result<Self, Failure> {
        let key = SigningKey::open(&log.key_file()?, &log.origin)?;
        let store = store::open(&log.store).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (events, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
        let checked = Sequencer::check(events, tree, Arc::clone(&clock), key.clone()).await?;
        let journal = Journal::start(Arc::clone(&store.events), clock, audit::Config::default());
        let signs = store.tree.lead().await? != LeadershipStatus::Follower;
        if let Some(rotation) = checked.rotation().filter(|_| signs) {
            rotation::record(&journal, &SystemClock, rotation).await?;
        }
        let sequencer = checked.start().await?;
        let signed = Arc::new(sequencer.prover());
        Ok(Self { store, journal, sequencer, signed, key, signs })
    }

    /// Whether this process signs; otherwise a service does that runs meanwhile.
    pub(super) fn signs(&self) -> bool {
        self.signs
    }

    /// What archiving needs.
    pub(super) fn parts(&self) -> ArchiveInputs<'_> {
        ArchiveInputs {
            log: &*self.store.log,
            tree: &*self.store.tree,
            events: &*self.store.archived,
            audit: &self.journal,
            signed: &*self.signed,
            clock: &SystemClock,
            key: &self.key,
        }
    }

    /// Signs what was written, and lets go of the log.
    pub(super) async fn close(self) {
        self.journal.close().await;
        self.sequencer.close().await;
    }
}
