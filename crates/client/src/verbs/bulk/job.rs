//! How the commands show a job, and what its state means for a script.

use crate::{
    failure::Failure,
    output::{Column, Note, Report, Table, remedy, to_json},
    proto::{BulkAssociation, BulkCounts, BulkPauseReason, BulkState, GetBulkAssociationResponse},
    verbs::shared::{short_name, time},
};

/// The items that need no more work.
pub(super) fn done(counts: &BulkCounts) -> u32 {
    counts.total.saturating_sub(counts.waiting).saturating_sub(counts.running)
}

pub(super) fn state(job: &BulkAssociation) -> String {
    short_name(job.state().as_str_name(), "BULK_STATE_")
}

/// The report of one job: a row for each location.
pub(super) fn report(job: &BulkAssociation) -> Report {
    let columns = [
        Column::new("account"),
        Column::new("region"),
        Column::new("total"),
        Column::new("done"),
        Column::new("failed"),
        Column::new("blocked"),
        Column::wide("succeeded"),
        Column::wide("unchanged"),
        Column::wide("skipped"),
        Column::wide("unknown"),
        Column::wide("overriding"),
        Column::wide("calls_per_second"),
        Column::wide("expected_end"),
        Column::wide("error"),
        Column::wide("job"),
    ];
    let mut table = Table::new(&columns, "The job has no location.");
    for location in &job.locations {
        let counts = location.counts.unwrap_or_default();
        table.push([
            location.account_id.clone(),
            location.region.clone(),
            counts.total.to_string(),
            done(&counts).to_string(),
            counts.failed.to_string(),
            counts.blocked.to_string(),
            counts.succeeded.to_string(),
            counts.unchanged.to_string(),
            counts.skipped.to_string(),
            counts.unknown.to_string(),
            counts.overriding.to_string(),
            location.calls_per_second.to_string(),
            time(location.expected_end_time.as_ref()),
            location.error.as_ref().map(|error| error.reason.clone()).unwrap_or_default(),
            job.id.clone(),
        ]);
    }
    let counts = job.counts.unwrap_or_default();
    let document = to_json(&GetBulkAssociationResponse { bulk_association: Some(job.clone()) });
    Report::new(document, table)
        .one_name(&job.id)
        .detail("JOB", &job.id)
        .detail("STATE", state(job))
        .detail("PAUSED BECAUSE", short_name(job.pause_reason().as_str_name(), "BULK_PAUSE_REASON_"))
        .detail("ITEMS", summary(&counts))
        .detail("CREATED", format!("{} by {}", time(job.create_time.as_ref()), job.subject))
        .detail("REASON", &job.reason)
        .detail("REVERTS", &job.revert_of)
        .detail("RULE", &job.rule_id)
        .detail("EXPECTED END", time(job.expected_end_time.as_ref()))
        .detail("ENDED", time(job.end_time.as_ref()))
        .detail("ETAG", &job.etag)
        .notes(errors(job))
        .notes(next_step(job))
}

fn summary(counts: &BulkCounts) -> String {
    let of = |count: u32, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let parts = [
        Some(format!("{} in all", counts.total)),
        of(counts.waiting, "waiting"),
        of(counts.running, "running"),
        of(counts.succeeded, "succeeded"),
        of(counts.unchanged, "unchanged"),
        of(counts.failed, "failed"),
        of(counts.unknown, "unknown"),
        of(counts.blocked, "blocked"),
        of(counts.skipped, "skipped"),
        of(counts.overriding, "replace or remove another key"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What is wrong with the job and with its locations.
fn errors(job: &BulkAssociation) -> Vec<Note> {
    let of_job = job.error.iter().map(|error| (String::new(), error));
    let of_locations = job.locations.iter().filter_map(|location| {
        let context = format!("{} {}: ", location.account_id, location.region);
        location.error.as_ref().map(|error| (context, error))
    });
    of_job
        .chain(of_locations)
        .flat_map(|(context, error)| {
            remedy(&format!("{context}{}: {}", error.reason, error.message), &error.remedy_document)
        })
        .collect()
}

/// The command that most likely comes next.
fn next_step(job: &BulkAssociation) -> Option<String> {
    let (id, counts) = (&job.id, job.counts.unwrap_or_default());
    match job.state() {
        BulkState::Planned if counts.blocked > 0 => {
            Some(format!("logkey bulk items {id} --state blocked shows what would fail."))
        }
        BulkState::Planned => Some(format!("logkey bulk start {id} --etag {} starts this plan.", job.etag)),
        BulkState::Paused | BulkState::CompletedWithFailures if counts.failed + counts.unknown > 0 => {
            Some(format!("logkey bulk items {id} --state failed,unknown shows the causes."))
        }
        BulkState::Paused => Some(format!("logkey bulk resume {id} continues.")),
        BulkState::Unspecified
        | BulkState::Planning
        | BulkState::Running
        | BulkState::Succeeded
        | BulkState::CompletedWithFailures
        | BulkState::Cancelled
        | BulkState::Failed => None,
    }
}

/// Whether nothing more happens by itself. A planned job can be about to start.
pub(super) fn is_at_rest(job: &BulkAssociation) -> bool {
    match job.state() {
        BulkState::Paused => match job.pause_reason() {
            BulkPauseReason::Unspecified
            | BulkPauseReason::FailureLimit
            | BulkPauseReason::Canary
            | BulkPauseReason::Caller => true,
            // The job continues by itself, unless the window is over.
            BulkPauseReason::Window | BulkPauseReason::TenantSuspended => false,
        },
        BulkState::Unspecified | BulkState::Planning | BulkState::Planned | BulkState::Running => false,
        BulkState::Succeeded
        | BulkState::CompletedWithFailures
        | BulkState::Cancelled
        | BulkState::Failed => true,
    }
}

/// A job that did not do what it was created for is a failure.
pub(super) fn conclude(job: &BulkAssociation) -> Result<(), Failure> {
    match job.state() {
        BulkState::Unspecified
        | BulkState::Planning
        | BulkState::Planned
        | BulkState::Running
        | BulkState::Succeeded => Ok(()),
        BulkState::Paused | BulkState::CompletedWithFailures | BulkState::Cancelled | BulkState::Failed => {
            Err(Failure::Negative(format!("the job {} is {}", job.id, state(job))))
        }
    }
}

/// Whether the job has a plan, or never will.
pub(super) fn is_planned(job: &BulkAssociation) -> bool {
    !matches!(job.state(), BulkState::Unspecified | BulkState::Planning)
}
