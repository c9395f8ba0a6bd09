//! Decides what became of items whose attempt has no known outcome: after a crash of the process that changed
//! them, or without an answer of AWS. The audit log tells whether the change was sent, and if its outcome is
//! unknown, the key is read back. Nothing is sent a second time before that.

use std::{sync::Arc, time::Duration};

use super::{
    item_run::{ItemRun, end},
    job_run,
    task::{ClaimLost, LocationTask},
};
use crate::{
    domain::{
        audit::EventId,
        fleet::{Failure, Item, ItemEnd, ItemState},
        reason::Reason,
    },
    ports::{RecordedChange, RecordedOutcome, Unavailable},
    service::{
        changes::reconcile::{self, Reconciliation},
        shared::upstream::now,
    },
};

/// The maximum number of items that a location can have in flight.
const MAX_RUNNING: u32 = 1000;
/// The wait before the audit log is searched again.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long after its timeout a change of another process may still be recorded, and its clock may differ. After an
/// outage of the store, as long again: the other process records then what it could not record before.
const GRACE: Duration = Duration::from_secs(5);
/// How long after the claim of a location the process that had it before may still commit an intent.
const FENCE: Duration = Duration::from_secs(1);
/// How often the key of an item is read back before its outcome counts as unknown.
const MAX_ATTEMPTS: u32 = 120;

/// How many earlier attempts are searched for one that AWS made.
const MAX_EARLIER: usize = 10;

/// What the audit log and AWS say about an attempt.
enum Found {
    /// The attempt ended so.
    End(ItemState, Option<EventId>, Option<Failure>),
    /// The process that made the attempt may still work on it or record its outcome.
    Open,
    /// The key cannot be read back now.
    Unreadable,
}

/// The items that another worker, or an earlier run of this process, left running.
pub(super) async fn left_running(task: &LocationTask) -> Result<Vec<Item>, ClaimLost> {
    let queue = &task.engine.fleet.ports.queue;
    queue.queued(task.key, ItemState::Running, 0, MAX_RUNNING).await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "running bulk items cannot be read");
        ClaimLost
    })
}

/// Decides about an item that was left running.
pub(super) async fn recover(task: Arc<LocationTask>, item: Item) -> Option<ItemRun> {
    if !task.engine.fleet.ports.queue.is_single_node() {
        tokio::time::sleep(FENCE).await;
    }
    read_back(&task, &item).await
}

/// Decides about one item. `None` if the service stops, or loses the claim, before the outcome is known.
pub(super) async fn read_back(task: &LocationTask, item: &Item) -> Option<ItemRun> {
    let (mut attempts, mut open_since) = (0, None);
    while attempts < MAX_ATTEMPTS {
        let open_for = open_since.map_or(Duration::ZERO, |since| now().saturating_duration_since(since));
        match find(task, item, open_for).await {
            Ok(Found::End(state, event, failure)) => {
                let done = end(task, item, state, failure);
                return Some(ItemRun { end: ItemEnd { event, ..done.end }, ..done });
            }
            Ok(Found::Open) => open_since = open_since.or(Some(now())),
            Ok(Found::Unreadable) => attempts += 1,
            Err(error) => {
                open_since = None;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the outcome of a bulk item cannot be read; retrying");
            }
        }
        tokio::select! {
            () = task.engine.stopping.cancelled() => return None,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        if !task.worker.has_lease() {
            return None;
        }
    }
    let message = "the change was sent, but its outcome is unknown: read the association, or retry the job, which reads the key back first";
    Some(end(task, item, ItemState::Unknown, Some(Failure::new(Reason::OutcomeUnknown, message))))
}

/// The event with the outcome of the item's last attempt.
pub(super) async fn outcome_event(task: &LocationTask, item: &Item) -> Option<EventId> {
    let found = recorded(task, item, item.attempts).await.ok()??;
    Some(found.outcome?.event)
}

/// The event of the earlier attempt that AWS made although it failed for the service. `None` if no earlier attempt can
/// have set the key that the item has now.
pub(super) async fn earlier_change(task: &LocationTask, item: &Item) -> Option<EventId> {
    for attempt in (1..item.attempts).rev().take(MAX_EARLIER) {
        let Ok(Some(RecordedChange { change, outcome })) = recorded(task, item, attempt).await else {
            continue;
        };
        match outcome {
            Some(RecordedOutcome { event, failure, .. }) if failure.as_deref().is_none_or(may_be_made) => {
                return Some(event);
            }
            Some(_not_made) => {}
            None => {
                let deadline = now() + task.engine.request_timeout;
                let reconciled = reconcile::reconcile_one(&task.engine.state, change, deadline).await;
                if let Reconciliation::Effective { event, .. } = reconciled {
                    return Some(event);
                }
            }
        }
    }
    None
}

/// Whether AWS may have made a change that failed for this reason.
fn may_be_made(reason: &str) -> bool {
    [Reason::OutcomeUnknown, Reason::AwsUnavailable, Reason::Internal].iter().any(|it| it.as_str() == reason)
}

async fn recorded(
    task: &LocationTask,
    item: &Item,
    attempt: u32,
) -> Result<Option<RecordedChange>, Unavailable> {
    let id = job_run::request_id(item.key, attempt);
    task.engine.state.ports.open.by_request_id(&task.run.job.creator.tenant, &id).await
}

/// `open_for` is how long the attempt is known to have no outcome.
async fn find(task: &LocationTask, item: &Item, open_for: Duration) -> Result<Found, Unavailable> {
    let Some(RecordedChange { change, outcome }) = recorded(task, item, item.attempts).await? else {
        // Without an intent nothing was sent.
        return Ok(Found::End(ItemState::Waiting, None, None));
    };
    match outcome {
        Some(RecordedOutcome { event, failure: None, .. }) => {
            return Ok(Found::End(ItemState::Succeeded, Some(event), None));
        }
        Some(RecordedOutcome { event, failure: Some(reason), detail })
            if &*reason != Reason::OutcomeUnknown.as_str() && &*reason != Reason::Internal.as_str() =>
        {
            if is_transient(&reason) {
                return Ok(Found::End(ItemState::Waiting, Some(event), None));
            }
            let message = detail.unwrap_or_else(|| "the audit event has the cause".into());
            let failure = Failure { reason, message, remedy_document: None };
            return Ok(Found::End(ItemState::Failed, Some(event), Some(failure)));
        }
        Some(_unknown) => {}
        None => {
            let engine = &task.engine;
            let age = engine.state.ports.clock.now().since(change.event.time);
            // A single process knows that no process before it still works on the change.
            let has_ended = engine.fleet.ports.queue.is_single_node() && change.event.time < engine.started;
            // The time of the intent can be that of a clock that was set right since.
            let max = engine.request_timeout + GRACE;
            let may_run = open_for < GRACE || open_for < max && age < max;
            if may_run && !has_ended {
                return Ok(Found::Open);
            }
        }
    }
    let deadline = now() + task.engine.request_timeout;
    let reconciled = reconcile::reconcile_one(&task.engine.state, change, deadline).await;
    Ok(match reconciled {
        Reconciliation::Effective { event, .. } => Found::End(ItemState::Succeeded, Some(event), None),
        // Another attempt reads the key back first, and does no harm.
        Reconciliation::NotEffective => Found::End(ItemState::Waiting, None, None),
        Reconciliation::NotNow => Found::Unreadable,
    })
}

/// Whether a later attempt can succeed although the recorded one failed.
fn is_transient(reason: &str) -> bool {
    [
        Reason::AccountBudgetExhausted,
        Reason::AwsThrottled,
        Reason::AwsUnavailable,
        Reason::ConflictingChange,
        Reason::DeadlineBeforeAws,
        Reason::AuditUnavailable,
        // The job stopped before the change was sent.
        Reason::JobState,
    ]
    .iter()
    .any(|transient| transient.as_str() == reason)
}
