//! Converts jobs and items to response messages.

use super::{
    answer::time,
    selection::{failure, key_choice, selection},
};
use crate::{
    domain::{
        association::Target,
        fleet::{BulkChange, Failure, Item, ItemCounts, ItemState, JobState, PauseReason, Safety},
    },
    proto,
    service::{ItemPage, JobPage, JobView, LocationView},
};

pub(in crate::server) fn job(view: JobView) -> proto::BulkAssociation {
    use proto::bulk_association::Change;
    let JobView { job, locations, expected_end } = view;
    let etag = job.etag();
    let status = job.status;
    let (selected, change) = match &job.spec.change {
        BulkChange::SetKey(choice) => {
            (Some(selection(&job.spec.selection)), Some(Change::Key(key_choice(choice))))
        }
        BulkChange::RemoveKey => (Some(selection(&job.spec.selection)), Some(Change::Disassociate(true))),
        BulkChange::Revert => (None, None),
    };
    proto::BulkAssociation {
        id: job.id.to_string(),
        state: job_state(status.state).into(),
        pause_reason: status.pause_reason.map_or(proto::BulkPauseReason::Unspecified, pause_reason).into(),
        counts: Some(counts(&job.counts)),
        create_time: Some(time(job.created)),
        start_time: status.started.map(time),
        end_time: status.ended.map(time),
        expected_end_time: expected_end.map(time),
        locations: locations.into_iter().map(location).collect(),
        tenant_id: job.creator.tenant.to_string(),
        subject: job.creator.subject.into(),
        reason: job.spec.reason.map(Into::into).unwrap_or_default(),
        etag,
        revert_of: job.revert_of.map(|id| id.to_string()).unwrap_or_default(),
        rule_id: job.rule.map(Into::into).unwrap_or_default(),
        selection: selected,
        change,
        safety: Some(safety(&job.spec.safety)),
        resource_count: u32::try_from(job.spec.selection.resources.len()).unwrap_or(u32::MAX),
        error: job.failure.map(failure),
    }
}

pub(in crate::server) fn jobs(page: JobPage) -> proto::ListBulkAssociationsResponse {
    proto::ListBulkAssociationsResponse {
        bulk_associations: page.jobs.into_iter().map(job).collect(),
        next_page_token: page.next_page_token.into(),
    }
}

pub(in crate::server) fn items(page: ItemPage) -> proto::ListBulkAssociationItemsResponse {
    proto::ListBulkAssociationItemsResponse {
        items: page.items.into_iter().map(item).collect(),
        next_page_token: page.next_page_token.into(),
    }
}

fn location(view: LocationView) -> proto::BulkLocation {
    let LocationView { location, rate, expected_end } = view;
    proto::BulkLocation {
        account_id: location.location.account.to_string(),
        region: location.location.region.to_string(),
        counts: Some(counts(&location.counts)),
        calls_per_second: rate,
        expected_end_time: expected_end.map(time),
        error: location.failure.map(failure),
    }
}

fn item(it: Item) -> proto::BulkItem {
    use proto::bulk_item::Resource;
    let Failure { reason, message, remedy_document } = it.failure.unwrap_or_else(|| Failure {
        reason: Box::default(),
        message: Box::default(),
        remedy_document: None,
    });
    proto::BulkItem {
        account_id: it.resource.location.account.to_string(),
        region: it.resource.location.region.to_string(),
        resource: Some(match it.resource.target {
            Target::LogGroup(name) => Resource::LogGroupName(name.to_string()),
            Target::QueryResults => Resource::QueryResults(true),
        }),
        state: item_state(it.state).into(),
        kms_key_arn: it.new_key.map(|key| key.to_string()).unwrap_or_default(),
        previous_kms_key_arn: it.previous_key.map(|key| key.to_string()).unwrap_or_default(),
        reason: reason.into(),
        message: message.into(),
        remedy_document: remedy_document.map(Into::into).unwrap_or_default(),
        audit_event_id: it.event.map(|event| event.to_string()).unwrap_or_default(),
        attempts: it.attempts,
        end_time: it.ended.map(time),
    }
}

fn counts(it: &ItemCounts) -> proto::BulkCounts {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    proto::BulkCounts {
        total: count(it.total()),
        waiting: count(it.waiting),
        running: count(it.running),
        succeeded: count(it.succeeded),
        unchanged: count(it.unchanged),
        failed: count(it.failed),
        unknown: count(it.unknown),
        blocked: count(it.blocked),
        skipped: count(it.skipped),
        overriding: count(it.overriding),
    }
}

fn safety(it: &Safety) -> proto::Safety {
    proto::Safety {
        max_failures: Some(it.max_failures),
        canary: it.canary,
        start_time: it.start_time.map(time),
        end_time: it.end_time.map(time),
    }
}

fn job_state(state: JobState) -> proto::BulkState {
    match state {
        JobState::Planning => proto::BulkState::Planning,
        JobState::Planned => proto::BulkState::Planned,
        JobState::Running => proto::BulkState::Running,
        JobState::Paused => proto::BulkState::Paused,
        JobState::Succeeded => proto::BulkState::Succeeded,
        JobState::CompletedWithFailures => proto::BulkState::CompletedWithFailures,
        JobState::Cancelled => proto::BulkState::Cancelled,
        JobState::Failed => proto::BulkState::Failed,
    }
}

fn pause_reason(reason: PauseReason) -> proto::BulkPauseReason {
    match reason {
        PauseReason::FailureLimit => proto::BulkPauseReason::FailureLimit,
        PauseReason::Canary => proto::BulkPauseReason::Canary,
        PauseReason::Window => proto::BulkPauseReason::Window,
        PauseReason::Caller => proto::BulkPauseReason::Caller,
        PauseReason::TenantSuspended => proto::BulkPauseReason::TenantSuspended,
    }
}

fn item_state(state: ItemState) -> proto::BulkItemState {
    match state {
        ItemState::Blocked => proto::BulkItemState::Blocked,
        ItemState::Waiting => proto::BulkItemState::Waiting,
        ItemState::Running => proto::BulkItemState::Running,
        ItemState::Succeeded => proto::BulkItemState::Succeeded,
        ItemState::Unchanged => proto::BulkItemState::Unchanged,
        ItemState::Failed => proto::BulkItemState::Failed,
        ItemState::Unknown => proto::BulkItemState::Unknown,
        ItemState::Skipped => proto::BulkItemState::Skipped,
    }
}
