//! Changes one item of a job, through the pipeline of all changes. Before it, the current key is read back: the
//! job does only what it planned.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use opentelemetry::KeyValue;

use super::{
    item_run::{ItemRun, end},
    job_run::{self, JobRun},
    recovery,
    task::LocationTask,
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{ListKeyAssociations, LogGroupName, Target},
        call::{Action, RequestId},
        fleet::{Failure, Item, ItemEnd, ItemState, JobState},
    },
    ports::LogGroup,
    service::{
        changes::{
            associate::associate_item, change::ItemRequest, changed::Changed,
            disassociate::disassociate_item, prior_state::GroupRead,
        },
        context::Context,
        error::{AccessError, AwsCallError, ChangeError, Error, FleetError, Repetition, RequestError},
        shared::log_groups,
    },
    spans::{self, Root},
};

/// How often a change is tried while AWS is unavailable or busy with the resource.
const MAX_ATTEMPTS: u32 = 5;
/// The wait after a failure that gives none.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An item that was claimed.
pub(super) enum Started {
    /// Nothing has to be sent, or nothing can be.
    Ended(ItemRun),
    /// The change is on its way.
    Running(BoxFuture<'static, Option<ItemRun>>),
}

/// What a failed attempt means for the item.
enum Verdict {
    /// The item failed.
    Failed,
    /// The resource is gone.
    Skipped,
    /// A later attempt can succeed.
    Retry(Duration),
    /// The change may have been made.
    ReadBack,
}

/// Reads the current keys of claimed items, and starts the change of each item that still has its planned key.
pub(super) async fn start(task: &Arc<LocationTask>, items: Vec<Item>) -> Vec<Started> {
    let found = match read_groups(task, &items).await {
        Ok(found) => found,
        Err(error) => {
            let ended = items.iter().map(|item| Started::Ended(failed(task, item, &error)));
            return ended.collect();
        }
    };
    let stopped = task.run.state() != JobState::Running;
    let mut started = Vec::with_capacity(items.len());
    for item in items {
        started.push(match &item.resource.target {
            _ if stopped => Started::Ended(end(task, &item, ItemState::Waiting, None)),
            Target::QueryResults => running(task, item, None),
            Target::LogGroup(name) => match found.get(name) {
                Some(read) => compare(task, item, read).await,
                None => Started::Ended(missing(task, &item, name)),
            },
        });
    }
    started
}

/// Compares the current key of a log group with the plan.
async fn compare(task: &Arc<LocationTask>, item: Item, read: &GroupRead) -> Started {
    let current = read.group.key.as_ref();
    if current == item.new_key.as_ref() {
        // AWS may have made an earlier attempt although it responded with an error. A revert has to know that.
        if let Some(event) = recovery::earlier_change(task, &item).await {
            let done = end(task, &item, ItemState::Succeeded, None);
            return Started::Ended(ItemRun { end: ItemEnd { event: Some(event), ..done.end }, ..done });
        }
        return Started::Ended(end(task, &item, ItemState::Unchanged, None));
    }
    if current != item.previous_key.as_ref() {
        let error = Error::Change(ChangeError::ExpectedKeyMismatch { current_key: current.cloned() });
        let failure = Failure { message: mismatch(current).into(), ..task.failure(&error) };
        return Started::Ended(end(task, &item, ItemState::Skipped, Some(failure)));
    }
    running(task, item, Some(read.clone()))
}

fn mismatch(current: Option<&KmsKeyArn>) -> String {
    let current = current.map_or("no key".to_owned(), ToString::to_string);
    format!(
        "since the plan, the key of the resource changed: it has {current} now; nothing was sent to AWS: create a new job if it should get the key anyway"
    )
}

/// The log groups of the items, by name. One that does not exist is missing.
async fn read_groups(task: &LocationTask, items: &[Item]) -> Result<HashMap<LogGroupName, GroupRead>, Error> {
    let names: Vec<LogGroupName> = items
        .iter()
        .filter_map(|item| match &item.resource.target {
            Target::LogGroup(name) => Some(name.clone()),
            Target::QueryResults => None,
        })
        .collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let parts = task.call_parts();
    let mut cx = parts.context(&task.run, task.run.action(), RequestId::new_v7());
    let location = task.location.location.clone();
    let at = cx.state.fact_time(&location).await;
    let authorized = cx.authorize(ListKeyAssociations { location })?;
    let deadline = cx.call.deadline;
    let groups = log_groups::find_many(&mut cx, authorized.access(), &names, deadline).await?;
    Ok(groups.into_iter().map(|group: LogGroup| (group.name.clone(), GroupRead { group, at })).collect())
}

/// Starts the change of an item, as a trace.
fn running(task: &Arc<LocationTask>, item: Item, read: Option<GroupRead>) -> Started {
    let change = change(Arc::clone(task), item, read);
    Started::Running(Root::background("bulk item").record(change).boxed())
}

/// Changes the item. `None` if the service stops before the outcome is known.
async fn change(task: Arc<LocationTask>, item: Item, read: Option<GroupRead>) -> Option<ItemRun> {
    let task = &*task;
    spans::annotate(|| {
        [
            KeyValue::new("logkey.job", item.key.job.to_string()),
            KeyValue::new("cloud.resource_id", item.resource.arn().to_string()),
        ]
    });
    let (event, done) = match attempt(task, &item, read).await {
        Ok(Changed { event, aws_request_id, .. }) => {
            if task.run.job.rule.is_some() {
                task.engine.fleet.rule_calls.lock().insert(&aws_request_id);
            }
            (event, end(task, &item, ItemState::Succeeded, None))
        }
        Err(error) => match verdict(&error, item.attempts) {
            Verdict::ReadBack => return recovery::read_back(task, &item).await,
            Verdict::Failed | Verdict::Skipped | Verdict::Retry(_) => {
                spans::fail(error.reason().as_str());
                (recovery::outcome_event(task, &item).await, failed(task, &item, &error))
            }
        },
    };
    Some(ItemRun { end: ItemEnd { event, ..done.end }, ..done })
}

async fn attempt(task: &LocationTask, item: &Item, read: Option<GroupRead>) -> Result<Changed, Error> {
    let JobRun { reason, .. } = &*task.run;
    let parts = task.call_parts();
    let id = job_run::request_id(item.key, item.attempts);
    let request = ItemRequest { resource: item.resource.clone(), reason: reason.clone(), read };
    let context =
        |action: Action| -> Context { parts.context(&task.run, action, id).gated(parts.gate(&task.run)) };
    // Boxed, because the futures of changes are large and many items are in flight.
    match &item.new_key {
        Some(key) => Box::pin(associate_item(context(Action::AssociateKmsKey), key.clone(), request)).await,
        None => Box::pin(disassociate_item(context(Action::DisassociateKmsKey), request)).await,
    }
}

/// The end of an item whose attempt failed.
fn failed(task: &LocationTask, item: &Item, error: &Error) -> ItemRun {
    match verdict(error, item.attempts) {
        Verdict::Retry(after) => {
            tracing::debug!(error = error as &dyn std::error::Error, "a bulk item waits for another attempt");
            ItemRun { retry_after: after, ..end(task, item, ItemState::Waiting, None) }
        }
        Verdict::Skipped => end(task, item, ItemState::Skipped, Some(task.failure(error))),
        Verdict::Failed => end(task, item, ItemState::Failed, Some(task.failure(error))),
        Verdict::ReadBack => end(task, item, ItemState::Unknown, Some(task.failure(error))),
    }
}

fn missing(task: &LocationTask, item: &Item, name: &LogGroupName) -> ItemRun {
    let location = item.resource.location.clone();
    let error = Error::Request(RequestError::LogGroupNotFound { name: name.clone(), location });
    end(task, item, ItemState::Skipped, Some(task.failure(&error)))
}

/// What the error of an attempt means for the item. Waiting for a quota, the store, the tenant or the
/// operator of the service never fails an item.
fn verdict(error: &Error, attempts: u32) -> Verdict {
    let retry_some = if attempts < MAX_ATTEMPTS { Verdict::Retry(RETRY_AFTER) } else { Verdict::Failed };
    match error {
        Error::Request(RequestError::LogGroupNotFound { .. }) => Verdict::Skipped,
        Error::Aws(
            AwsCallError::BudgetExhausted { retry_after } | AwsCallError::Throttled { retry_after, .. },
        ) => Verdict::Retry(*retry_after),
        // The job stopped before the change was sent.
        Error::Fleet(FleetError::State(_)) => Verdict::Retry(Duration::ZERO),
        Error::Storage(_)
        | Error::Access(AccessError::TenantSuspended | AccessError::TenantRemoved)
        | Error::Aws(AwsCallError::StsThrottled { .. } | AwsCallError::ServiceMisconfigured { .. }) => {
            Verdict::Retry(RETRY_AFTER)
        }
        Error::Aws(
            AwsCallError::Unavailable { .. }
            | AwsCallError::Conflict { .. }
            | AwsCallError::DeadlineBeforeAws
            | AwsCallError::Diagnosed { repetition: Repetition::Advised, .. },
        )
        | Error::Change(ChangeError::ResourceLocked | ChangeError::RequestInFlight) => retry_some,
        Error::Change(ChangeError::OutcomeUnknown { .. } | ChangeError::OutcomeNotRecorded { .. })
        | Error::FailureNotRecorded { .. }
        | Error::Internal(_) => Verdict::ReadBack,
        Error::Access(_)
        | Error::Request(_)
        | Error::Aws(
            AwsCallError::Refused { .. }
            | AwsCallError::Diagnosed { .. }
            | AwsCallError::RoleNotAssumable { .. },
        )
        | Error::Change(ChangeError::ExpectedKeyMismatch { .. } | ChangeError::RequestIdReused)
        | Error::Fleet(_)
        | Error::AuditRead(_)
        | Error::ReplayedFailure { .. } => Verdict::Failed,
    }
}
