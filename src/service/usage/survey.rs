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
        association::{GetKeyUsage, Place},
        authorization::{Access, Authorized},
        call::Call,
        history::{Sighting, Survey},
        time::Timestamp,
    },
    ports::LogGroupPage,
    service::{Error, KeyBroker, history::sighting, serial::Serial, trail::Trail},
};

/// How long a survey counts as made for an answer.
const FRESH: Duration = Duration::from_secs(10);
/// How long an interrupted one can be gone on with: AWS's page tokens are good for a day.
const RESUMABLE: Duration = Duration::from_hours(1);
/// Most interrupted ones that are remembered.
const MAX_INTERRUPTED: usize = 1_024;
/// Places that are read side by side.
const PLACES_AT_ONCE: usize = 8;
/// Which part of a caller's time goes into reading, in percent.
const SHARE: u32 = 70;
/// How many sightings are kept at once.
const KEPT_AT_ONCE: usize = 1_000;

/// The surveys of this process.
#[derive(Default)]
pub(in crate::service) struct Surveys {
    /// One of a place at a time.
    serial: Serial<Place>,
    interrupted: Mutex<HashMap<Place, Interrupted>>,
}

/// Where a survey stopped.
#[derive(Clone)]
struct Interrupted {
    token: Box<str>,
    began: Timestamp,
    read: u64,
}

/// What is known of a place's log groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Surveyed {
    pub(super) place: Place,
    /// When the first whole survey began.
    pub(super) first: Option<Timestamp>,
    /// When the last whole survey began.
    pub(super) known_as_of: Option<Timestamp>,
    /// How far this answer's own one came.
    pub(super) now: Extent,
}

/// How far a survey came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// None was made: the answer is a further page.
    None,
    /// Every log group was read.
    Whole {
        /// When it began.
        began: Timestamp,
        /// How many there are.
        read: u64,
    },
    /// The caller's time was over; the next call goes on.
    Part {
        /// When it began.
        began: Timestamp,
        /// How many were read.
        read: u64,
    },
    /// AWS did not let it be made; why, in a few words.
    Failed(String),
}

// === impl Surveyed ===

impl Surveyed {
    /// Whether something that was last seen then was read for this answer.
    pub(super) fn read_for_this(&self, seen: Timestamp) -> bool {
        match self.now {
            Extent::Whole { began, .. } | Extent::Part { began, .. } => seen >= began,
            Extent::None | Extent::Failed(_) => false,
        }
    }
}

impl KeyBroker {
    /// Surveys the places, where the answer is to be built on that, and says what is known of each.
    pub(super) async fn survey_all(
        &self,
        call: &Call,
        permits: &[Authorized<GetKeyUsage>],
        first_page: bool,
        trail: &mut Trail,
    ) -> Result<Vec<Surveyed>, Error> {
        let mut extents: HashMap<Place, Extent> = HashMap::new();
        if first_page {
            let time = call.deadline.saturating_duration_since(now());
            let stop = now() + time * SHARE / 100;
            let surveys = permits.iter().map(|permit| self.survey(permit.access(), stop, trail.clone()));
            let made: Vec<(Place, Extent, Trail)> =
                stream::iter(surveys.collect::<Vec<_>>()).buffer_unordered(PLACES_AT_ONCE).collect().await;
            for (place, extent, of_place) in made {
                trail.join(of_place);
                extents.insert(place, extent);
            }
        }
        let places: Vec<Place> = permits.iter().map(|permit| permit.access().place().clone()).collect();
        let kept = self.ports.history.surveys(&places).await.map_err(Error::RecordUnavailable)?;
        let surveyed = places.into_iter().map(|place| {
            let kept = kept.iter().find(|survey| survey.place == place);
            Surveyed {
                first: kept.map(|survey| survey.first),
                known_as_of: kept.map(|survey| survey.last),
                now: extents.remove(&place).unwrap_or(Extent::None),
                place,
            }
        });
        Ok(surveyed.collect())
    }

    async fn survey(&self, access: &Access, stop: Instant, mut trail: Trail) -> (Place, Extent, Trail) {
        let place = access.place().clone();
        let Some(_held) = self.surveys.serial.hold(&place, stop).await else {
            let why = "another reading of the same log groups is under way";
            return (place, Extent::Failed(why.to_owned()), trail);
        };
        let now = self.ports.clock.now();
        let kept = self.ports.history.surveys(std::slice::from_ref(&place)).await;
        if let Some(kept) = kept.ok().and_then(|mut kept| kept.pop())
            && now < kept.last.plus(FRESH)
        {
            let extent = Extent::Whole { began: kept.last, read: kept.log_groups };
            return (place, extent, trail);
        }
        let extent = self.read_on(access, &place, stop, &mut trail).await;
        (place, extent, trail)
    }

    /// Reads page after page, from where the last reading stopped.
    async fn read_on(&self, access: &Access, place: &Place, stop: Instant, trail: &mut Trail) -> Extent {
        let now_is = self.ports.clock.now();
        let resumed = self.surveys.take(place, now_is);
        let (mut token, began, mut read) = match resumed {
            Some(Interrupted { token, began, read }) => (Some(token), began, read),
            None => (None, now_is, 0),
        };
        let mut seen: Vec<Sighting> = Vec::new();
        let end = loop {
            let at = self.ports.clock.now();
            let asked = self.aws_page(access, None, token.as_deref(), stop, trail).await;
            let LogGroupPage { groups, next } = match asked {
                Ok(page) => page,
                Err(error) => break Err(error),
            };
            read += groups.len() as u64;
            seen.extend(groups.iter().map(|group| sighting(place, group, at)));
            token = next;
            if token.is_none() {
                break Ok(());
            }
            if seen.len() >= KEPT_AT_ONCE && self.ports.seen.keep(&std::mem::take(&mut seen)).await.is_err() {
                return not_kept();
            }
        };
        if self.ports.seen.keep(&seen).await.is_err() {
            return not_kept();
        }
        match (end, token) {
            (Ok(()), _) => {
                let survey = Survey { place: place.clone(), first: began, last: began, log_groups: read };
                match self.ports.seen.surveyed(&survey).await {
                    Ok(()) => Extent::Whole { began, read },
                    Err(_unavailable) => not_kept(),
                }
            }
            (Err(error), Some(token)) if is_out_of_time(&error, stop) => {
                self.surveys.put(place, Interrupted { token, began, read });
                Extent::Part { began, read }
            }
            (Err(error), _) => Extent::Failed(why(&error)),
        }
    }
}

fn not_kept() -> Extent {
    Extent::Failed("what was read could not be kept".to_owned())
}

/// Whether a longer deadline, or another call, would have helped.
fn is_out_of_time(error: &Error, stop: Instant) -> bool {
    matches!(error, Error::BudgetExhausted { .. } | Error::DeadlineBeforeAws) || now() >= stop
}

/// Why AWS could not be asked, to be read after "since".
fn why(error: &Error) -> String {
    match error.aws_answer() {
        Some(answer) => format!("AWS said {}", super::super::diagnose::words(answer)),
        None => error.to_string(),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

// === impl Surveys ===

impl Surveys {
    fn take(&self, place: &Place, now: Timestamp) -> Option<Interrupted> {
        self.lock().remove(place).filter(|it| now < it.began.plus(RESUMABLE))
    }

    fn put(&self, place: &Place, stopped: Interrupted) {
        let mut all = self.lock();
        if all.len() >= MAX_INTERRUPTED {
            let newest = all.values().map(|it| it.began).max().unwrap_or(stopped.began);
            all.retain(|_, it| newest < it.began.plus(RESUMABLE));
        }
        if all.len() < MAX_INTERRUPTED {
            all.insert(place.clone(), stopped);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Interrupted>> {
        // Nothing that runs under the lock leaves it half done.
        self.interrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Surveys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surveys").finish_non_exhaustive()
    }
}
