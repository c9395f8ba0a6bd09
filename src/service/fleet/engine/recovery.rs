//! Decides what became of items whose attempt has no known outcome: after a crash of the process that changed
//! them, or without an answer of AWS. The audit log tells whether the change was sent, and if its outcome is
//! unknown, the key is read back. Nothing is sent a second time before that.

use std::time::Duration;

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
/// How long after its timeout a change of another process may still be recorded, and its clock may differ.
const GRACE: Duration = Duration::from_secs(5);
/// How long after the claim of a location the process that had it before may still commit an intent.
const FENCE: Duration = Duration::from_secs(1);
/// How often the outcome of an item is searched before it counts as unknown.
const MAX_ATTEMPTS: u32 = 120;

/// What the audit log and AWS say about an attempt.
enum Found {
    /// The attempt ended so.
    End(ItemState, Option<EventId>, Option<Failure>),
    /// Nobody can tell yet.
    NotYet,
}

/// Decides about every item that another worker, or an earlier run of this process, left running.
pub(super) async fn recover(task: &LocationTask) -> Result<(), ClaimLost> {
    let queue = &task.engine.fleet.ports.queue;
    let running = match queue.queued(task.key, ItemState::Running, 0, MAX_RUNNING).await {
        Ok(running) => running,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "running bulk items cannot be read");
            return Err(ClaimLost);
        }
    };
    if !queue.is_single_node() {
        tokio::time::sleep(FENCE).await;
    }
    let decided = running.iter().map(|item| read_back(task, item));
    let ended = futures_util::future::join_all(decided).await;
    task.store(ended.into_iter().map(|run| run.end).collect()).await
}

/// Decides about one item.
pub(super) async fn read_back(task: &LocationTask, item: &Item) -> ItemRun {
    for _ in 0..MAX_ATTEMPTS {
        match find(task, item).await {
            Ok(Found::End(state, event, failure)) => {
                let done = end(task, item, state, failure);
                return ItemRun { end: ItemEnd { event, ..done.end }, ..done };
            }
            Ok(Found::NotYet) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the outcome of a bulk item cannot be read; retrying");
            }
        }
        if task.engine.stopping.is_cancelled() {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let message = "the change was sent, but its outcome is unknown: read the association, or retry the job, which reads the key back first";
    end(task, item, ItemState::Unknown, Some(Failure::new(Reason::OutcomeUnknown, message)))
}

/// The event with the outcome of the item's last attempt.
pub(super) async fn outcome_event(task: &LocationTask, item: &Item) -> Option<EventId> {
    let found = recorded(task, item).await.ok()??;
    Some(found.outcome?.event)
}

async fn recorded(task: &LocationTask, item: &Item) -> Result<Option<RecordedChange>, Unavailable> {
    let id = job_run::request_id(item.key, item.attempts);
    task.engine.state.ports.open.by_request_id(&task.run.job.creator.tenant, &id).await
}

async fn find(task: &LocationTask, item: &Item) -> Result<Found, Unavailable> {
    let Some(RecordedChange { change, outcome }) = recorded(task, item).await? else {
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
            let age = task.engine.state.ports.clock.now().since(change.event.time);
            let may_run = age < task.engine.request_timeout + GRACE;
            if may_run && !task.engine.fleet.ports.queue.is_single_node() {
                return Ok(Found::NotYet);
            }
        }
    }
    let deadline = now() + task.engine.request_timeout;
    let reconciled = reconcile::reconcile_one(&task.engine.state, change, deadline).await;
    Ok(match reconciled {
        Reconciliation::Effective { event, .. } => Found::End(ItemState::Succeeded, Some(event), None),
        // Another attempt reads the key back first, and does no harm.
        Reconciliation::NotEffective => Found::End(ItemState::Waiting, None, None),
        Reconciliation::NotNow => Found::NotYet,
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
    ]
    .iter()
    .any(|transient| transient.as_str() == reason)
}
