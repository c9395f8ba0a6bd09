//! The scan of a location: reads every log group, as far as the caller's deadline permits. The next call
//! resumes an interrupted scan.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};

use super::scan_registry::ScanCheckpoint;
use crate::{
    domain::{
        association::{GetKeyUsage, Location},
        authorization::{Access, Authorized},
        history::{Observation, Scan},
        time::Timestamp,
    },
    ports::LogGroupPage,
    service::{
        aws_message::aws_message,
        context::Context,
        error::{AwsCallError, Error},
        shared::{audit_context::AuditContext, log_groups, observation_buffer::observation, upstream::now},
    },
};

/// The age up to which a complete scan is used again instead of a new one.
const SCAN_TTL: Duration = Duration::from_secs(10);
/// The number of locations that one call scans at the same time.
const CONCURRENCY: usize = 8;
/// The share of a call's remaining time that its scans may take, in percent.
const BUDGET_SHARE: u32 = 70;
/// The number of observations that are stored at once.
const WRITE_BATCH: usize = 1_000;

/// What is known of the log groups of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct ScanResult {
    pub(super) location: Location,
    /// When the first complete scan began.
    pub(super) first: Option<Timestamp>,
    /// When the last complete scan began.
    pub(super) known_as_of: Option<Timestamp>,
    /// How complete the scan of this call is.
    pub(super) now: Completeness,
    /// Whether a scan was interrupted and waits for a call that resumes it.
    pub(super) interrupted: bool,
}

/// How complete a scan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// This call made no scan, because it asks for a further page.
    None,
    /// Every log group was read.
    Whole {
        /// When the scan began.
        started: Timestamp,
    },
    /// The deadline interrupted the scan. The next call resumes it.
    Part {
        /// When the scan began.
        started: Timestamp,
    },
    /// The scan failed. The text is the cause, worded to follow "because".
    Failed(String),
}

/// The scan of one location, with the calls that it made.
struct LocationScan {
    location: Location,
    extent: Completeness,
    audit: AuditContext,
}

// === impl ScanResult ===

impl ScanResult {
    /// Whether every log group was read: by this call or, for a further page, by the last scan.
    pub(super) fn is_complete(&self) -> bool {
        match self.now {
            Completeness::Whole { .. } => true,
            Completeness::None => self.known_as_of.is_some() && !self.interrupted,
            Completeness::Part { .. } | Completeness::Failed(_) => false,
        }
    }

    /// Whether the scan of this call made an observation with this time.
    pub(super) fn read_by_this_scan(&self, observed_at: Timestamp) -> bool {
        match self.now {
            Completeness::Whole { started } | Completeness::Part { started } => observed_at >= started,
            Completeness::None | Completeness::Failed(_) => false,
        }
    }
}

/// Scans the locations if this is the first page, and returns what is known of each.
pub(super) async fn scan_all(
    cx: &mut Context,
    permitted: &[Authorized<GetKeyUsage>],
    first_page: bool,
) -> Result<Vec<ScanResult>, Error> {
    let mut extents: HashMap<Location, Completeness> = HashMap::new();
    if first_page {
        let time = cx.call.deadline.saturating_duration_since(now());
        let stop = now() + time * BUDGET_SHARE / 100;
        let scans = permitted.iter().map(|authorized| scan(cx.clone(), authorized.access(), stop));
        let scans: Vec<LocationScan> =
            stream::iter(scans.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY).collect().await;
        for LocationScan { location, extent, audit } in scans {
            cx.audit.merge(audit);
            extents.insert(location, extent);
        }
    }
    let locations: Vec<Location> =
        permitted.iter().map(|authorized| authorized.access().location().clone()).collect();
    let scans = cx.in_turn(cx.ports().history.scans(&locations)).await?;
    let scanned = locations.into_iter().map(|location| {
        let scan = scans.iter().find(|scan| scan.location == location);
        ScanResult {
            first: scan.map(|scan| scan.first),
            known_as_of: scan.map(|scan| scan.last),
            now: extents.remove(&location).unwrap_or(Completeness::None),
            interrupted: cx.state.scans.is_interrupted(&location),
            location,
        }
    });
    Ok(scanned.collect())
}

async fn scan(mut cx: Context, access: &Access, stop: Instant) -> LocationScan {
    let location = access.location().clone();
    let extent = scan_location(&mut cx, access, &location, stop).await;
    LocationScan { location, extent, audit: cx.audit }
}

async fn scan_location(
    cx: &mut Context,
    access: &Access,
    location: &Location,
    stop: Instant,
) -> Completeness {
    let state = Arc::clone(&cx.state);
    let Some(_guard) = state.scans.locks.lock(location, stop).await else {
        return Completeness::Failed("another scan of the same log groups is in flight".to_owned());
    };
    let scans = cx.ports().history.scans(std::slice::from_ref(location)).await;
    if let Some(last) = scans.ok().and_then(|mut scans| scans.pop())
        && is_fresh(last.last, cx.ports().clock.now())
    {
        return Completeness::Whole { started: last.last };
    }
    resume(cx, access, location, stop).await
}

/// Whether a scan from this time need not be repeated. One from the future began before the clock was set back.
fn is_fresh(scanned: Timestamp, now: Timestamp) -> bool {
    scanned <= now.plus(SCAN_TTL) && now < scanned.plus(SCAN_TTL)
}

/// Reads page after page, from the checkpoint of an interrupted scan if there is one.
async fn resume(cx: &mut Context, access: &Access, location: &Location, stop: Instant) -> Completeness {
    // Another replica, or this one before its clock was set back, may have recorded later times.
    cx.state.facts.learn(location, &*cx.ports().history).await;
    let begun = cx.state.facts.now(&*cx.ports().clock);
    let resumed = cx.state.scans.take_checkpoint(location, begun);
    let (mut token, started, mut read) = match resumed {
        Some(ScanCheckpoint { token, started, read }) => (Some(token), started, read),
        None => (None, begun, 0),
    };
    let mut observations: Vec<Observation> = Vec::new();
    let end = loop {
        let at = cx.state.facts.now(&*cx.ports().clock);
        let page = log_groups::fetch_page(cx, access, None, token.as_deref(), stop).await;
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
            && cx.ports().observations.upsert(&std::mem::take(&mut observations)).await.is_err()
        {
            return storage_failed();
        }
    };
    if cx.ports().observations.upsert(&observations).await.is_err() {
        return storage_failed();
    }
    match (end, token) {
        (Ok(()), _) => {
            let scan = Scan { location: location.clone(), first: started, last: started, log_groups: read };
            match cx.ports().observations.record_scan(&scan).await {
                Ok(()) => Completeness::Whole { started },
                Err(_unavailable) => storage_failed(),
            }
        }
        (Err(error), Some(token)) if deadline_passed(&error, stop) => {
            cx.state.scans.save_checkpoint(location, ScanCheckpoint { token, started, read });
            Completeness::Part { started }
        }
        (Err(error), _) => Completeness::Failed(reason(&error, location)),
    }
}

fn storage_failed() -> Completeness {
    Completeness::Failed("the observations could not be stored".to_owned())
}

/// Whether the scan failed only because its time was over.
fn deadline_passed(error: &Error, stop: Instant) -> bool {
    matches!(
        error,
        Error::Aws(
            AwsCallError::BudgetExhausted { .. }
                | AwsCallError::Throttled { .. }
                | AwsCallError::DeadlineBeforeAws
        )
    ) || now() >= stop
}

/// The cause of the failure, worded to follow "because".
fn reason(error: &Error, location: &Location) -> String {
    if let Error::Aws(error) = error
        && let Some(blocking) = error.blocking_check(location, false)
    {
        return blocking.detail;
    }
    match error.aws_answer() {
        Some(answer) => format!("AWS returned {}", aws_message(answer)),
        None => error.to_string(),
    }
}
