//! The rows of bulk jobs: as JSON for the statements, and as the domain's types when they are read.

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::Resource,
        audit::EventId,
        fleet::{
            Failure, Item, ItemCounts, ItemEnd, ItemKey, ItemState, Job, JobId, JobLocation, JobSpec,
            JobState, JobStatus, LocationPhase, PauseReason, PlannedItem, Safety,
        },
        time::Timestamp,
    },
    ports::{
        Unavailable,
        bulk::{ClaimedLocation, LocationKey, OpenJob},
    },
    store::{
        columns::{Columns, corrupt_row},
        row_values::{self, from_json, json, known, parse, target_name, time},
    },
};

/// The rows of planned items. Each has its number, counted from 0.
pub(super) fn planned(items: &[PlannedItem]) -> Result<String, serde_json::Error> {
    let rows = items.iter().zip(0_u32..).map(|(item, number)| {
        let PlannedItem { resource, state, own_key, previous_key, failure } = item;
        let failure_text = failure.as_ref().map(serde_json::to_string).transpose()?;
        let row = (
            number,
            target_name(&resource.target),
            state.number(),
            own_key.as_ref().map(KmsKeyArn::as_str),
            previous_key.as_ref().map(KmsKeyArn::as_str),
            failure.as_ref().map(|failure| &*failure.reason),
            failure_text,
        );
        Ok(row)
    });
    json(&rows.collect::<Result<Vec<_>, serde_json::Error>>()?)
}

/// The rows of items that ended.
pub(super) fn ended<'e>(ends: impl Iterator<Item = &'e ItemEnd>) -> Result<String, serde_json::Error> {
    let rows = ends.map(|end| {
        let ItemEnd { key, state, failure, event, ended } = end;
        let failure_text = failure.as_ref().map(serde_json::to_string).transpose()?;
        let ended = (*state != ItemState::Waiting).then(|| ended.as_micros());
        let row = (
            key.job.to_string(),
            key.location,
            key.seq,
            state.number(),
            failure.as_ref().map(|failure| &*failure.reason),
            failure_text,
            event.map(|event| event.to_string()),
            ended,
        );
        Ok(row)
    });
    json(&rows.collect::<Result<Vec<_>, serde_json::Error>>()?)
}

/// The job of a row, without its counts.
pub(super) fn job<R: Columns>(row: &R) -> Result<Job, Unavailable> {
    let spec: JobSpec = from_json::<R, _>(row.required_text(2)?)?;
    Ok(Job {
        id: parse::<R, JobId>(row.required_text(0)?)?,
        creator: from_json::<R, _>(row.required_text(1)?)?,
        status: JobStatus {
            state: known(row, 3, JobState::from_number)?,
            pause_reason: pause_reason(row, 4)?,
            version: row.unsigned(5)?,
            start: row.required_number(6)? != 0,
            started: time(row, 7)?,
            ended: time(row, 8)?,
            failures_before: row.unsigned(9)?,
            canary_pending: row.required_number(10)? != 0,
        },
        counts: ItemCounts::default(),
        created: Timestamp::from_micros(row.required_number(11)?),
        revert_of: row.text(12)?.map(parse::<R, JobId>).transpose()?,
        rule: row.text(13)?.map(Into::into),
        failure: row.text(14)?.map(from_json::<R, Failure>).transpose()?,
        spec,
    })
}

/// The open job of a row.
pub(super) fn open_job<R: Columns>(row: &R) -> Result<OpenJob, Unavailable> {
    Ok(OpenJob {
        id: parse::<R, JobId>(row.required_text(0)?)?,
        tenant: parse::<R, _>(row.required_text(1)?)?,
        status: JobStatus {
            state: known(row, 2, JobState::from_number)?,
            pause_reason: pause_reason(row, 3)?,
            version: row.unsigned(4)?,
            start: row.required_number(5)? != 0,
            started: time(row, 6)?,
            ended: time(row, 7)?,
            failures_before: row.unsigned(8)?,
            canary_pending: row.required_number(9)? != 0,
        },
        safety: Safety {
            max_failures: u32::try_from(row.unsigned(10)?).unwrap_or(u32::MAX),
            canary: u32::try_from(row.unsigned(11)?).unwrap_or(u32::MAX),
            start_time: time(row, 12)?,
            end_time: time(row, 13)?,
        },
        to_plan: row.unsigned(14)?,
        locations: row.unsigned(15)?,
        failed_locations: row.unsigned(16)?,
        counts: counts(row, 17)?,
    })
}

/// The counts in nine columns from this one on.
pub(super) fn counts<R: Columns>(row: &R, at: usize) -> Result<ItemCounts, Unavailable> {
    Ok(ItemCounts {
        waiting: row.unsigned(at)?,
        running: row.unsigned(at + 1)?,
        succeeded: row.unsigned(at + 2)?,
        unchanged: row.unsigned(at + 3)?,
        failed: row.unsigned(at + 4)?,
        unknown: row.unsigned(at + 5)?,
        blocked: row.unsigned(at + 6)?,
        skipped: row.unsigned(at + 7)?,
        overriding: row.unsigned(at + 8)?,
    })
}

/// The location in the columns from this one on.
pub(super) fn location<R: Columns>(row: &R, at: usize) -> Result<JobLocation, Unavailable> {
    Ok(JobLocation {
        number: number(row, at)?,
        location: row_values::location(row, at + 1)?,
        phase: if row.required_number(at + 3)? == LocationPhase::ToPlan.number() {
            LocationPhase::ToPlan
        } else {
            LocationPhase::Planned
        },
        key: row.text(at + 4)?.map(parse::<R, _>).transpose()?,
        failure: row.text(at + 5)?.map(from_json::<R, _>).transpose()?,
        counts: counts(row, at + 6)?,
    })
}

/// The claimed location of a row.
pub(super) fn claimed<R: Columns>(row: &R) -> Result<ClaimedLocation, Unavailable> {
    let location = location(row, 1)?;
    let key = LocationKey { job: parse::<R, JobId>(row.required_text(0)?)?, location: location.number };
    Ok(ClaimedLocation { key, location })
}

/// The item of a row.
pub(super) fn item<R: Columns>(row: &R) -> Result<Item, Unavailable> {
    let key = ItemKey {
        job: parse::<R, JobId>(row.required_text(0)?)?,
        location: number(row, 1)?,
        seq: number(row, 2)?,
    };
    let resource = Resource {
        location: row_values::location(row, 3)?,
        target: row_values::target::<R>(row.required_text(5)?)?,
    };
    Ok(Item {
        key,
        resource,
        state: known(row, 6, ItemState::from_number)?,
        new_key: row.text(7)?.map(parse::<R, _>).transpose()?,
        previous_key: row.text(8)?.map(parse::<R, _>).transpose()?,
        failure: row.text(9)?.map(from_json::<R, _>).transpose()?,
        event: row.text(10)?.map(parse::<R, uuid::Uuid>).transpose()?.map(EventId),
        attempts: number(row, 11)?,
        ended: time(row, 12)?,
    })
}

fn pause_reason<R: Columns>(row: &R, at: usize) -> Result<Option<PauseReason>, Unavailable> {
    row.number(at)?.map(|_number| known(row, at, PauseReason::from_number)).transpose()
}

fn number<R: Columns>(row: &R, at: usize) -> Result<u32, Unavailable> {
    u32::try_from(row.unsigned(at)?).map_err(corrupt_row::<R>)
}
