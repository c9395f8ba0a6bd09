//! Moves old events to the archive while the service runs. With several replicas, the leader does it.

use std::{error::Error, sync::Arc, time::Duration};

use metrics::{counter, gauge};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::service::App;
use crate::{
    audit::{
        Journal, LogFolder, ProofService,
        archive::{ArchiveError, ArchiveInputs, VerifiedArchive, archive_batch},
    },
    aws::{self, S3Files},
    config::{ArchiveSettings, ArchiveTarget, Settings},
    ports::{
        ArchivedEvents, Clock, EventArchive, EventReader, Leadership, log_files::LogFiles, tree::TreeStore,
    },
};

/// How often the leader looks for old events.
const INTERVAL: Duration = Duration::from_hours(1);
/// The delay after a failure.
const RETRY_INTERVAL: Duration = Duration::from_mins(5);
/// How often a replica looks whether it leads now.
const LEADER_INTERVAL: Duration = Duration::from_secs(10);

/// The files of an archive. `aws` says how to reach a bucket.
pub async fn archive_files(target: &ArchiveTarget, aws: &aws::Config) -> Arc<dyn LogFiles> {
    match target {
        ArchiveTarget::Folder(folder) => Arc::new(LogFolder::durable(folder)),
        // Boxed, because the future of the SDK's start is large.
        ArchiveTarget::S3(location) => Arc::new(Box::pin(S3Files::connect(aws, location.clone())).await),
    }
}

/// Reads the archive of the settings. `tree` is the tree over its events.
pub(super) async fn archived_events(
    settings: &Settings,
    tree: Arc<dyn TreeStore>,
) -> Option<Arc<dyn EventArchive>> {
    let target = settings.audit.archive.target.as_ref()?;
    Some(Arc::new(VerifiedArchive::new(archive_files(target, &settings.aws).await, tree)))
}

/// The task that archives.
pub(super) struct ArchiveTask {
    stopping: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Archives old events.
struct Archiver {
    retention: Duration,
    files: Arc<dyn LogFiles>,
    log: Arc<dyn EventReader>,
    tree: Arc<dyn TreeStore>,
    events: Arc<dyn ArchivedEvents>,
    journal: Arc<Journal>,
    signed: ProofService,
    leadership: Arc<dyn Leadership>,
    clock: Arc<dyn Clock>,
}

// === impl ArchiveTask ===

impl ArchiveTask {
    /// Starts to archive if the settings say so.
    pub(super) async fn start(app: &App) -> Self {
        let stopping = CancellationToken::new();
        let ArchiveSettings { retention, target } = &app.settings.audit.archive;
        let (Some(retention), Some(target)) = (*retention, target) else {
            return Self { stopping, task: None };
        };
        let archiver = Archiver {
            retention,
            files: archive_files(target, &app.settings.aws).await,
            log: Arc::clone(&app.log),
            tree: app.monitored.clone(),
            events: Arc::clone(&app.archived),
            journal: Arc::clone(&app.journal),
            signed: app.sequencer.prover(),
            leadership: Arc::clone(&app.leadership),
            clock: Arc::clone(&app.clock),
        };
        let task = tokio::spawn(archiver.run(stopping.clone()));
        Self { stopping, task: Some(task) }
    }

    /// Ends the task. The next start continues what it began.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(error = &error as &dyn Error, "archiving failed");
        }
    }
}

// === impl Archiver ===

impl Archiver {
    async fn run(self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.run_forever()).await;
    }

    async fn run_forever(&self) {
        loop {
            if self.leadership.is_leader() {
                sleep(self.run_once().await).await;
            } else {
                gauge!("logkey_audit_archive_failing").set(0.0);
                sleep(LEADER_INTERVAL).await;
            }
        }
    }

    /// Archives what is old, and returns when to look again.
    async fn run_once(&self) -> Duration {
        let archived = self.archive().await;
        gauge!("logkey_audit_archive_failing").set(if archived.is_ok() { 0.0 } else { 1.0 });
        let Err(error) = archived else {
            gauge!("logkey_audit_archive_timestamp_seconds").set(seconds(&*self.clock));
            return INTERVAL;
        };
        counter!("logkey_audit_archive_failures_total").increment(1);
        let error = &error as &dyn Error;
        tracing::error!(error, archive = %self.files, "old events cannot be archived; they stay in the store");
        RETRY_INTERVAL
    }

    async fn archive(&self) -> Result<(), ArchiveError> {
        let before = self.clock.now().minus(self.retention);
        while self.leadership.is_leader() {
            let key = self.signed.signing_key();
            let inputs = ArchiveInputs {
                log: &*self.log,
                tree: &*self.tree,
                events: &*self.events,
                audit: &*self.journal,
                signed: &self.signed,
                clock: &*self.clock,
                key: &key,
            };
            let batch = archive_batch(inputs, before, &self.files).await?;
            if batch.count == 0 {
                break;
            }
            counter!("logkey_audit_archived_events_total").increment(batch.count);
            tracing::info!(events = batch.count, last = batch.last, archive = %self.files, "archived old events");
        }
        Ok(self.events.shrink().await?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
fn seconds(clock: &dyn Clock) -> f64 {
    clock.now().as_micros() as f64 / 1e6
}
