//! Reads every log group of a place, as far as the caller's deadline lets that; the next call goes on
//! where this one stopped.

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
        context::Context,
        error::Error,
        shared::{
            audit_context::AuditContext, log_groups, lookup, observation_buffer::observation, upstream::now,
        },
    },
};

/// How long a survey counts as made for an answer.
const FRESH: Duration = Duration::from_secs(10);
/// Places that are read side by side.
const CONCURRENCY: usize = 8;
/// Which part of a caller's time goes into reading, in percent.
const BUDGET_SHARE: u32 = 70;
/// How many sightings are kept at once.
const WRITE_BATCH: usize = 1_000;

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

/// The scan of one location, with the calls that it made.
struct LocationScan {
    location: Location,
    extent: Completeness,
    audit: AuditContext,
}

// === impl ScanResult ===

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

/// Surveys the places, where the answer is to be built on that, and says what is known of each.
pub(super) async fn scan_all(
    cx: &mut Context,
    permits: &[Authorized<GetKeyUsage>],
    first_page: bool,
) -> Result<Vec<ScanResult>, Error> {
    let mut extents: HashMap<Location, Completeness> = HashMap::new();
    if first_page {
        let time = cx.call.deadline.saturating_duration_since(now());
        let stop = now() + time * BUDGET_SHARE / 100;
        let scans = permits.iter().map(|authorized| scan(cx.clone(), authorized.access(), stop));
        let scans: Vec<LocationScan> =
            stream::iter(scans.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY).collect().await;
        for LocationScan { location, extent, audit } in scans {
            cx.audit.merge(audit);
            extents.insert(location, extent);
        }
    }
    let locations: Vec<Location> =
        permits.iter().map(|authorized| authorized.access().location().clone()).collect();
    let scans = cx.ports().history.scans(&locations).await.map_err(Error::RecordUnavailable)?;
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
        && cx.ports().clock.now() < last.last.plus(FRESH)
    {
        return Completeness::Whole { started: last.last, read: last.log_groups };
    }
    resume(cx, access, location, stop).await
}

/// Reads page after page, from where the last reading stopped.
async fn resume(cx: &mut Context, access: &Access, location: &Location, stop: Instant) -> Completeness {
    let now_is = cx.ports().clock.now();
    let resumed = cx.state.scans.take_checkpoint(location, now_is);
    let (mut token, started, mut read) = match resumed {
        Some(ScanCheckpoint { token, started, read }) => (Some(token), started, read),
        None => (None, now_is, 0),
    };
    let mut observations: Vec<Observation> = Vec::new();
    let end = loop {
        let at = cx.ports().clock.now();
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
                Ok(()) => Completeness::Whole { started, read },
                Err(_unavailable) => storage_failed(),
            }
        }
        (Err(error), Some(token)) if deadline_passed(&error, stop) => {
            cx.state.scans.save_checkpoint(location, ScanCheckpoint { token, started, read });
            Completeness::Part { started, read }
        }
        (Err(error), _) => Completeness::Failed(reason(&error)),
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
        Some(answer) => format!("AWS said {}", lookup::aws_message(answer)),
        None => error.to_string(),
    }
}
