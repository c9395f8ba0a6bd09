//! Reads every log group of a place, as far as the caller's deadline lets that; the next call goes on
//! where this one stopped.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};

use crate::{
    domain::{
        association::{GetKeyUsage, Location},
        authorization::{Access, Authorized},
        call::Call,
        history::{Observation, Scan},
        time::Timestamp,
    },
    ports::LogGroupPage,
    service::{
        Error, KeyBroker, audit_context::AuditContext, keyed_mutex::KeyedMutex,
        observation_buffer::observation,
    },
};

/// How long a survey counts as made for an answer.
const FRESH: Duration = Duration::from_secs(10);
/// How long an interrupted one can be gone on with: AWS's page tokens are good for a day.
const RESUMABLE: Duration = Duration::from_hours(1);
/// Most interrupted ones that are remembered.
const MAX_INTERRUPTED: usize = 1_024;
/// Places that are read side by side.
const CONCURRENCY: usize = 8;
/// Which part of a caller's time goes into reading, in percent.
const BUDGET_SHARE: u32 = 70;
/// How many sightings are kept at once.
const WRITE_BATCH: usize = 1_000;

/// The surveys of this process.
#[derive(Default)]
pub(in crate::service) struct ScanRegistry {
    /// One of a place at a time.
    serial: KeyedMutex<Location>,
    interrupted: Mutex<HashMap<Location, ScanCheckpoint>>,
}

/// Where a survey stopped.
#[derive(Clone)]
struct ScanCheckpoint {
    token: Box<str>,
    started: Timestamp,
    read: u64,
}

/// What is known of a place's log groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct ScanResult {
    pub(super) location: Location,
    /// When the first whole survey began.
    pub(super) first: Option<Timestamp>,
    /// When the last whole survey began.
    pub(super) known_as_of: Option<Timestamp>,
    /// How far this answer's own one came.
    pub(super) now: Completeness,
}

/// How far a survey came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// None was made: the answer is a further page.
    None,
    /// Every log group was read.
    Whole {
        /// When it began.
        started: Timestamp,
        /// How many there are.
        read: u64,
    },
    /// The caller's time was over; the next call goes on.
    Part {
        /// When it began.
        started: Timestamp,
        /// How many were read.
        read: u64,
    },
    /// AWS did not let it be made; why, in a few words.
    Failed(String),
}

// === impl Surveyed ===

impl ScanResult {
    /// Whether something that was last seen then was read for this answer.
    pub(super) fn seen_by_this_scan(&self, observed_at: Timestamp) -> bool {
        match self.now {
            Completeness::Whole { started, .. } | Completeness::Part { started, .. } => {
                observed_at >= started
            }
            Completeness::None | Completeness::Failed(_) => false,
        }
    }
}

impl KeyBroker {
    /// Surveys the places, where the answer is to be built on that, and says what is known of each.
    pub(super) async fn scan_all(
        &self,
        call: &Call,
        permits: &[Authorized<GetKeyUsage>],
        first_page: bool,
        audit: &mut AuditContext,
    ) -> Result<Vec<ScanResult>, Error> {
        let mut extents: HashMap<Location, Completeness> = HashMap::new();
        if first_page {
            let time = call.deadline.saturating_duration_since(now());
            let stop = now() + time * BUDGET_SHARE / 100;
            let scans = permits.iter().map(|authorized| self.scan(authorized.access(), stop, audit.clone()));
            let scans: Vec<(Location, Completeness, AuditContext)> =
                stream::iter(scans.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY).collect().await;
            for (location, extent, of_location) in scans {
                audit.merge(of_location);
                extents.insert(location, extent);
            }
        }
        let locations: Vec<Location> =
            permits.iter().map(|authorized| authorized.access().location().clone()).collect();
        let scans = self.ports.history.scans(&locations).await.map_err(Error::RecordUnavailable)?;
        let scanned = locations.into_iter().map(|location| {
            let scan = scans.iter().find(|scan| scan.location == location);
            ScanResult {
                first: scan.map(|scan| scan.first),
                known_as_of: scan.map(|scan| scan.last),
                now: extents.remove(&location).unwrap_or(Completeness::None),
                location,
            }
        });
        Ok(scanned.collect())
    }

    async fn scan(
        &self,
        access: &Access,
        stop: Instant,
        mut audit: AuditContext,
    ) -> (Location, Completeness, AuditContext) {
        let location = access.location().clone();
        let Some(_held) = self.scans.serial.lock(&location, stop).await else {
            let reason = "another reading of the same log groups is under way";
            return (location, Completeness::Failed(reason.to_owned()), audit);
        };
        let now = self.ports.clock.now();
        let scans = self.ports.history.scans(std::slice::from_ref(&location)).await;
        if let Some(scans) = scans.ok().and_then(|mut scans| scans.pop())
            && now < scans.last.plus(FRESH)
        {
            let extent = Completeness::Whole { started: scans.last, read: scans.log_groups };
            return (location, extent, audit);
        }
        let extent = self.resume(access, &location, stop, &mut audit).await;
        (location, extent, audit)
    }

    /// Reads page after page, from where the last reading stopped.
    async fn resume(
        &self,
        access: &Access,
        location: &Location,
        stop: Instant,
        audit: &mut AuditContext,
    ) -> Completeness {
        let now_is = self.ports.clock.now();
        let resumed = self.scans.take_checkpoint(location, now_is);
        let (mut token, started, mut read) = match resumed {
            Some(ScanCheckpoint { token, started, read }) => (Some(token), started, read),
            None => (None, now_is, 0),
        };
        let mut observations: Vec<Observation> = Vec::new();
        let end = loop {
            let at = self.ports.clock.now();
            let page = self.fetch_page(access, None, token.as_deref(), stop, audit).await;
            let LogGroupPage { groups, next } = match page {
                Ok(page) => page,
                Err(error) => break Err(error),
            };
            read += groups.len() as u64;
            observations.extend(groups.iter().map(|group| observation(location, group, at)));
            token = next;
            if token.is_none() {
                break Ok(());
            }
            if observations.len() >= WRITE_BATCH
                && self.ports.observations.upsert(&std::mem::take(&mut observations)).await.is_err()
            {
                return storage_failed();
            }
        };
        if self.ports.observations.upsert(&observations).await.is_err() {
            return storage_failed();
        }
        match (end, token) {
            (Ok(()), _) => {
                let scan =
                    Scan { location: location.clone(), first: started, last: started, log_groups: read };
                match self.ports.observations.record_scan(&scan).await {
                    Ok(()) => Completeness::Whole { started, read },
                    Err(_unavailable) => storage_failed(),
                }
            }
            (Err(error), Some(token)) if deadline_passed(&error, stop) => {
                self.scans.save_checkpoint(location, ScanCheckpoint { token, started, read });
                Completeness::Part { started, read }
            }
            (Err(error), _) => Completeness::Failed(reason(&error)),
        }
    }
}

fn storage_failed() -> Completeness {
    Completeness::Failed("what was read could not be kept".to_owned())
}

/// Whether a longer deadline, or another call, would have helped.
fn deadline_passed(error: &Error, stop: Instant) -> bool {
    matches!(error, Error::BudgetExhausted { .. } | Error::DeadlineBeforeAws) || now() >= stop
}

/// Why AWS could not be asked, to be read after "since".
fn reason(error: &Error) -> String {
    match error.aws_answer() {
        Some(answer) => format!("AWS said {}", super::super::explain::aws_message(answer)),
        None => error.to_string(),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

// === impl Surveys ===

impl ScanRegistry {
    fn take_checkpoint(&self, location: &Location, now: Timestamp) -> Option<ScanCheckpoint> {
        self.lock().remove(location).filter(|it| now < it.started.plus(RESUMABLE))
    }

    fn save_checkpoint(&self, location: &Location, stopped: ScanCheckpoint) {
        let mut all = self.lock();
        if all.len() >= MAX_INTERRUPTED {
            let newest = all.values().map(|it| it.started).max().unwrap_or(stopped.started);
            all.retain(|_, it| newest < it.started.plus(RESUMABLE));
        }
        if all.len() < MAX_INTERRUPTED {
            all.insert(location.clone(), stopped);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Location, ScanCheckpoint>> {
        // Nothing that runs under the lock leaves it half done.
        self.interrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ScanRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surveys").finish_non_exhaustive()
    }
}
