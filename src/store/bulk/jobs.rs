//! Stores jobs and reads them.

use async_trait::async_trait;

use super::{
    BulkTables,
    params::{count_params, counts, signed},
    rows,
    sql::Sql,
};
use crate::{
    domain::{
        fleet::{
            Item, ItemCounts, ItemKey, Job, JobId, JobLocation, JobState, JobStatus, LocationPhase,
            PauseReason,
        },
        time::Timestamp,
    },
    ports::{
        Unavailable,
        bulk::{BulkJobs, CreateOutcome, ItemFilter, JobFilter, NewJob, NewLocation, Transition},
    },
    store::{
        columns::{Columns as _, corrupt_row},
        row_values,
        transaction::{Statement, Transactions},
    },
};

#[async_trait]
impl<D: Transactions + Send + Sync + 'static> BulkJobs for BulkTables<D> {
    async fn create(&self, new: &NewJob) -> Result<CreateOutcome, Unavailable> {
        let NewJob { job, locations, request, max_open } = new;
        let sql = Sql::of(D::DIALECT);
        let id = job.id.to_string();
        let tenant = job.creator.tenant.as_str();
        let texts = [serde_json::to_string(&job.creator), serde_json::to_string(&job.spec)];
        let [creator, spec] = texts.map(|text| text.map_err(corrupt_row::<D::Row>));
        let (creator, spec) = (creator?, spec?);
        let request_id = request.as_ref().map(|request| request.id.to_string());
        let mut statements = vec![Statement::new(sql.lock_tenant, [tenant.into()])];
        if let (Some(request), Some(request_id)) = (request, &request_id) {
            let params = [tenant.into(), (&**request_id).into(), request.since.as_micros().into()];
            statements.push(Statement::new(sql.forget_request, params));
        }
        let revert_of = job.revert_of.map(|id| id.to_string());
        let JobStatus { state, version, start, canary_pending, .. } = job.status;
        let safety = &job.spec.safety;
        statements.push(Statement::new(
            sql.insert_job,
            [
                (&*id).into(),
                tenant.into(),
                job.created.as_micros().into(),
                (&*creator).into(),
                (&*spec).into(),
                state.number().into(),
                signed(version).into(),
                i64::from(start).into(),
                i64::from(canary_pending).into(),
                i64::from(safety.max_failures).into(),
                i64::from(safety.canary).into(),
                safety.start_time.map(Timestamp::as_micros).into(),
                safety.end_time.map(Timestamp::as_micros).into(),
                revert_of.as_deref().into(),
                job.rule.as_deref().into(),
                request_id.as_deref().into(),
                request.as_ref().map(|request| &*request.fingerprint).into(),
                max_open.map_or(i64::MAX, i64::from).into(),
            ],
        ));
        let location_rows = location_rows(locations).map_err(corrupt_row::<D::Row>)?;
        statements.push(Statement::new(sql.insert_locations, [(&*location_rows).into(), (&*id).into()]));
        let items = planned_rows(locations).map_err(corrupt_row::<D::Row>)?;
        for PlannedRows { location, rows, counts } in &items {
            let params = [(&**rows).into(), (&*id).into(), i64::from(*location).into(), 0.into()];
            statements.push(Statement::new(sql.insert_items, params));
            statements.push(Statement::new(sql.add_counts, count_params(&id, *location, counts)));
        }
        self.0.transaction(statements).await?;
        if self.find(job.id).await?.is_some() {
            return Ok(CreateOutcome::Created);
        }
        let Some((request, request_id)) = request.as_ref().zip(request_id.as_deref()) else {
            return Ok(CreateOutcome::TooManyOpen);
        };
        let found = self.0.rows(sql.request, &[tenant.into(), request_id.into()]).await?;
        let Some(row) = found.first() else { return Ok(CreateOutcome::TooManyOpen) };
        if row.text(1)? == Some(&*request.fingerprint) {
            Ok(CreateOutcome::Exists(row_values::parse::<D::Row, JobId>(row.required_text(0)?)?))
        } else {
            Ok(CreateOutcome::RequestIdReused)
        }
    }

    async fn find(&self, id: JobId) -> Result<Option<Job>, Unavailable> {
        let id = id.to_string();
        let found = self.0.rows(Sql::of(D::DIALECT).job_by_id, &[(&*id).into()]).await?;
        Ok(self.with_counts(&found).await?.pop())
    }

    async fn list(&self, filter: &JobFilter, limit: u32) -> Result<Vec<Job>, Unavailable> {
        let states = row_values::list(filter.states.iter().map(|state: &JobState| state.number()));
        let states = states.map_err(corrupt_row::<D::Row>)?;
        let before = filter.before.map(|id| id.to_string()).unwrap_or_default();
        let tenant = filter.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        let params = [(&*states).into(), tenant.into(), (&*before).into(), i64::from(limit).into()];
        let found = self.0.rows(Sql::of(D::DIALECT).list_jobs, &params).await?;
        self.with_counts(&found).await
    }

    async fn locations(&self, id: JobId) -> Result<Vec<JobLocation>, Unavailable> {
        let id = id.to_string();
        let found = self.0.rows(Sql::of(D::DIALECT).locations, &[(&*id).into()]).await?;
        found.iter().map(|row| rows::location(row, 0)).collect()
    }

    async fn items(
        &self,
        filter: &ItemFilter,
        after: Option<ItemKey>,
        limit: u32,
    ) -> Result<Vec<Item>, Unavailable> {
        let states = filter.states.iter().map(|state| ("state", state.number().to_string()));
        let reasons = filter.reasons.iter().map(|reason| ("reason", reason.to_string()));
        let locations = filter.locations.iter().flatten().map(|number| ("location", number.to_string()));
        let filters = row_values::json(&states.chain(reasons).chain(locations).collect::<Vec<_>>());
        let filters = filters.map_err(corrupt_row::<D::Row>)?;
        if filter.locations.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let (location, seq) = after.map_or((-1, -1), |key| (i64::from(key.location), i64::from(key.seq)));
        // With reasons, only items that have one are read.
        let has_reason = i64::from(!filter.reasons.is_empty());
        let job = filter.job.to_string();
        let params = [
            (&*filters).into(),
            (&*job).into(),
            location.into(),
            seq.into(),
            has_reason.into(),
            i64::from(limit).into(),
        ];
        let found = self.0.rows(Sql::of(D::DIALECT).list_items, &params).await?;
        found.iter().map(rows::item).collect()
    }

    async fn transition(&self, id: JobId, to: &Transition) -> Result<bool, Unavailable> {
        let Transition { status, failure, retries } = to;
        let sql = Sql::of(D::DIALECT);
        let id = id.to_string();
        let failure = failure.as_ref().map(serde_json::to_string).transpose();
        let failure = failure.map_err(corrupt_row::<D::Row>)?;
        let update = Statement::new(
            sql.update_job,
            [
                (&*id).into(),
                status.state.number().into(),
                status.pause_reason.map(PauseReason::number).into(),
                signed(status.version).into(),
                i64::from(status.start).into(),
                status.started.map(Timestamp::as_micros).into(),
                status.ended.map(Timestamp::as_micros).into(),
                signed(status.failures_before).into(),
                i64::from(status.canary_pending).into(),
                failure.as_deref().into(),
            ],
        );
        let mut statements = vec![update.required()];
        if *retries {
            statements.push(Statement::new(sql.retry_items, [(&*id).into()]));
            statements.push(Statement::new(sql.retry_locations, [(&*id).into()]));
        }
        Ok(self.0.transaction(statements).await?.is_some())
    }

    async fn delete_ended(&self, before: Timestamp, limit: u32) -> Result<bool, Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let before = before.as_micros();
        let statements = vec![
            Statement::new(sql.delete_items, [before.into(), i64::from(limit).into()]),
            Statement::new(sql.delete_locations, [before.into()]),
            Statement::new(sql.delete_jobs, [before.into()]),
        ];
        let done = self.0.transaction(statements).await?.unwrap_or_default();
        let deleted = done.first().map_or(0, Vec::len);
        Ok(deleted >= usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

impl<D: Transactions + Send + Sync + 'static> BulkTables<D> {
    /// The jobs of rows, with their counts.
    async fn with_counts(&self, found: &[D::Row]) -> Result<Vec<Job>, Unavailable> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut jobs = found.iter().map(rows::job).collect::<Result<Vec<_>, _>>()?;
        let ids =
            row_values::list(jobs.iter().map(|job| job.id.to_string())).map_err(corrupt_row::<D::Row>)?;
        for row in &self.0.rows(Sql::of(D::DIALECT).counts, &[(&*ids).into()]).await? {
            let id = row_values::parse::<D::Row, JobId>(row.required_text(0)?)?;
            if let Some(job) = jobs.iter_mut().find(|job| job.id == id) {
                job.counts = rows::counts(row, 1)?;
            }
        }
        Ok(jobs)
    }
}

/// The items of a location that is planned already.
struct PlannedRows {
    location: u32,
    rows: String,
    counts: ItemCounts,
}

fn location_rows(locations: &[NewLocation]) -> Result<String, serde_json::Error> {
    let row = |(number, new): (u32, &NewLocation)| {
        let phase = if new.items.is_some() { LocationPhase::Planned } else { LocationPhase::ToPlan };
        let key = new.key.as_ref().map(|key| key.as_str().to_owned());
        (number, new.location.account.to_string(), new.location.region.to_string(), phase.number(), key)
    };
    row_values::json(&(0..).zip(locations).map(row).collect::<Vec<_>>())
}

fn planned_rows(locations: &[NewLocation]) -> Result<Vec<PlannedRows>, serde_json::Error> {
    let planned = (0..).zip(locations).filter_map(|(location, new)| Some((location, new.items.as_ref()?)));
    let rows = planned.map(|(location, items)| {
        Ok(PlannedRows { location, rows: rows::planned(items)?, counts: counts(items) })
    });
    rows.collect()
}
