//! Opens the log for writing without a running service, for `archive` and `rotate-key`. A SQLite file then
//! belongs to this process alone. On a PostgreSQL server the services may continue, and one of them may sign.

use std::sync::Arc;

use super::{failure::Failure, log_location::OpenLog};
use crate::{
    app::SystemClock,
    audit::{self, Journal, Sequencer, archive::ArchiveInputs, checkpoint::SigningKey, rotation},
    ports::{AuditTree, Clock, EventFilter, EventReader, LeadershipStatus},
    service::PageTokens,
    store::{self, Store},
};

/// An open log that accepts events and, if this process leads, signs them.
pub(super) struct StandaloneSequencer {
    store: Store,
    journal: Journal,
    sequencer: Sequencer,
    signed: Arc<dyn AuditTree>,
    key: SigningKey,
    signs: bool,
}

// === impl StandaloneSequencer ===

impl StandaloneSequencer {
    /// Opens the log. If a new key takes over the signing, it records the key rotation first.
    pub(super) async fn open(log: &OpenLog) -> Result<Self, Failure> {
        let key = SigningKey::open(&log.key_file()?, &log.origin)?;
        let store = store::open(&log.store).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // Before the new key signs: page tokens outlive the removal of the former key.
        let secrets = key.page_token_secrets();
        PageTokens::new(&secrets).install(&*store.page_keys, &secrets, clock.now()).await?;
        let (events, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
        let checked = Sequencer::check(events, tree, Arc::clone(&clock), key.clone()).await?;
        let journal =
            Journal::start(Arc::clone(&store.events), clock, checked.tagger(), audit::Config::default());
        let signs = store.tree.lead().await? != LeadershipStatus::Follower;
        if let Some(rotation) = checked.rotation().filter(|_| signs) {
            rotation::record(&journal, &SystemClock, rotation).await?;
        }
        let sequencer = checked.start().await?;
        let signed = Arc::new(sequencer.prover());
        Ok(Self { store, journal, sequencer, signed, key, signs })
    }

    /// Whether this process signs; if not, a running service does.
    pub(super) fn signs(&self) -> bool {
        self.signs
    }

    /// The reader of the log, and the position of its newest event.
    pub(super) async fn log(&self) -> Result<(Arc<dyn EventReader>, u64), Failure> {
        let newest = self.store.log.list(&EventFilter::default(), None, 1).await?;
        Ok((Arc::clone(&self.store.log), newest.first().map_or(0, |event| event.seq)))
    }

    /// The parts of the open log that [`archive`](crate::audit::archive::archive) needs.
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

    /// Signs the written events and closes the log.
    pub(super) async fn close(self) {
        self.journal.close().await;
        self.sequencer.close().await;
        self.store.closing.close().await;
    }
}
