//! An open store, as the ports that it implements.

use std::{fmt, path::Path, sync::Arc};

use super::{
    batch_loader::BatchedKeyHistory, bulk::BulkTables, config::Config, coverage::CoverageTables,
    error::OpenError, page_keys::PageKeyTable, postgres, rules::RuleTables, sqlite,
    transaction::Transactions,
};
use crate::ports::{
    ArchivedEvents, ClosableStore, EventReader, EventStore, IdempotencyStore, KeyHistoryReader,
    KeyHistoryWriter, Leadership, LogReplacement, SinkStore, TreeStore,
    bulk::{BulkJobs, BulkQueue},
    coverage::CoverageStore,
    page_keys::PageKeyStore,
    rules::{RepairLog, RuleSchedule, RuleStore},
    store::StoreSpace,
    upgrade::UpgradeProgress,
};

/// A read-only store.
#[derive(Clone)]
pub struct ReadOnlyStore {
    /// Reads events.
    pub log: Arc<dyn EventReader>,
    /// Reads the tree over the events. Extending the tree fails.
    pub tree: Arc<dyn TreeStore>,
}

/// An open store, as the ports that it implements.
#[derive(Clone)]
pub struct Store {
    /// Appends events.
    pub events: Arc<dyn EventStore>,
    /// Reads events.
    pub log: Arc<dyn EventReader>,
    /// Stores the tree over the events.
    pub tree: Arc<dyn TreeStore>,
    /// Reads key records.
    pub history: Arc<dyn KeyHistoryReader>,
    /// Stores observations that do not belong to a change.
    pub observations: Arc<dyn KeyHistoryWriter>,
    /// Finds requests with an idempotency key.
    pub requests: Arc<dyn IdempotencyStore>,
    /// Stores the positions of the sinks.
    pub sinks: Arc<dyn SinkStore>,
    /// Removes archived events.
    pub archived: Arc<dyn ArchivedEvents>,
    /// Replaces the whole log.
    pub replacement: Arc<dyn LogReplacement>,
    /// Closes the store.
    pub closing: Arc<dyn ClosableStore>,
    /// Whether this process is the leader.
    pub leadership: Arc<dyn Leadership>,
    /// Measures the store.
    pub space: Arc<dyn StoreSpace>,
    /// Stores bulk jobs.
    pub jobs: Arc<dyn BulkJobs>,
    /// Distributes the work of bulk jobs.
    pub queue: Arc<dyn BulkQueue>,
    /// Stores coverage.
    pub coverage: Arc<dyn CoverageStore>,
    /// Stores encryption rules.
    pub rules: Arc<dyn RuleStore>,
    /// Distributes the evaluation of rules.
    pub rule_schedule: Arc<dyn RuleSchedule>,
    /// Keeps the repairs of resources.
    pub repairs: Arc<dyn RepairLog>,
    /// Keeps the keys of page tokens after their removal from the key file.
    pub page_keys: Arc<dyn PageKeyStore>,
}

/// All ports of a store combined.
trait Backend:
    EventStore
    + EventReader
    + TreeStore
    + KeyHistoryReader
    + KeyHistoryWriter
    + IdempotencyStore
    + SinkStore
    + ArchivedEvents
    + LogReplacement
    + ClosableStore
    + Leadership
    + StoreSpace
    + Transactions
    + Send
    + Sync
    + 'static
{
}

/// Opens the store and creates it if it does not exist. A SQLite store is exclusive to this process; several
/// processes can share a PostgreSQL store.
///
/// # Errors
///
/// [`OpenError`], whose message says what to do.
pub async fn open(config: &Config) -> Result<Store, OpenError> {
    open_with_progress(config, &UpgradeProgress::default()).await
}

/// As [`open`], and shows how far an upgrade of the schema is.
///
/// # Errors
///
/// As [`open`].
pub async fn open_with_progress(config: &Config, progress: &UpgradeProgress) -> Result<Store, OpenError> {
    if config.is_shared() {
        Ok(Store::from_backend(&Arc::new(postgres::Postgres::open(&config.url, progress).await?)))
    } else {
        Ok(Store::from_backend(&Arc::new(sqlite::Sqlite::open(&config.url, progress).await?)))
    }
}

/// Opens an existing store read-only, even while other processes write to it.
///
/// # Errors
///
/// [`OpenError`], whose message says what to do.
pub async fn open_reader(config: &Config) -> Result<ReadOnlyStore, OpenError> {
    if config.is_shared() {
        let reader = Arc::new(postgres::Reader::open(&config.url).await?);
        Ok(ReadOnlyStore { log: reader.clone(), tree: reader })
    } else {
        let reader = Arc::new(sqlite::Reader::open(&config.url).await?);
        Ok(ReadOnlyStore { log: reader.clone(), tree: reader })
    }
}

/// Copies a SQLite store as it is at one moment to an existing empty file, even while another process writes
/// to it. The copy is on disk when this returns.
///
/// # Errors
///
/// [`OpenError`], whose message says what to do.
pub async fn copy(config: &Config, to: &Path) -> Result<(), OpenError> {
    sqlite::copy(&config.url, to).await
}

/// Puts on disk what readers see. In a SQLite store that can be what a killed process left in memory; a
/// PostgreSQL server shows only what is on its disk.
///
/// # Errors
///
/// [`OpenError`], whose message says what to do.
pub fn sync(config: &Config) -> Result<(), OpenError> {
    if config.is_shared() { Ok(()) } else { sqlite::sync(&config.url) }
}

// === impl ReadOnlyStore ===

impl fmt::Debug for ReadOnlyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadOnlyStore")
    }
}

// === impl Store ===

impl Backend for sqlite::Sqlite {}
impl Backend for postgres::Postgres {}

impl Store {
    fn from_backend<S: Backend>(store: &Arc<S>) -> Self {
        let coverage = Arc::new(CoverageTables::new(Arc::clone(store)));
        let bulk = Arc::new(BulkTables::new(Arc::clone(store)));
        let rules = Arc::new(RuleTables::new(Arc::clone(store)));
        Self {
            jobs: bulk.clone(),
            queue: bulk,
            coverage,
            rules: rules.clone(),
            rule_schedule: rules.clone(),
            repairs: rules,
            page_keys: Arc::new(PageKeyTable(Arc::clone(store))),
            events: store.clone(),
            log: store.clone(),
            tree: store.clone(),
            history: Arc::new(BatchedKeyHistory::new(store.clone())),
            observations: store.clone(),
            requests: store.clone(),
            sinks: store.clone(),
            archived: store.clone(),
            replacement: store.clone(),
            closing: store.clone(),
            leadership: store.clone(),
            space: store.clone(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
