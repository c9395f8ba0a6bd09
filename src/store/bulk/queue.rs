//! Distributes the work of jobs between workers.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    BulkTables,
    params::{count_params, counts, location_params},
    rows,
    sql::Sql,
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        fleet::{Item, ItemState, PlannedItem},
    },
    ports::{
        Unavailable,
        bulk::{
            BulkQueue, ClaimedLocation, LocationKey, LocationPlan, OpenJob, QueueStep, StepOutcome, WorkerId,
        },
    },
    store::{
        columns::{Columns as _, corrupt_row},
        row_values,
        transaction::{Dialect, Statement, Transactions},
    },
};

#[async_trait]
impl<D: Transactions + Send + Sync + 'static> BulkQueue for BulkTables<D> {
    fn is_single_node(&self) -> bool {
        D::DIALECT == Dialect::Sqlite
    }

    async fn confirm(&self, worker: WorkerId, lease: Duration) -> Result<(), Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let id = worker.0.to_string();
        let statements = vec![
            Statement::new(sql.confirm, [(&*id).into(), micros(lease).into()]),
            Statement::new(sql.forget_workers, [(&*id).into()]),
        ];
        self.0.transaction(statements).await.map(drop)
    }

    async fn claim(&self, worker: WorkerId, limit: u32) -> Result<Vec<ClaimedLocation>, Unavailable> {
        let id = worker.0.to_string();
        let claim = Statement::new(Sql::of(D::DIALECT).claim, [(&*id).into(), i64::from(limit).into()]);
        let claimed = self.0.transaction(vec![claim]).await?.unwrap_or_default();
        claimed.iter().flatten().map(rows::claimed).collect()
    }

    async fn release(&self, worker: WorkerId, at: LocationKey) -> Result<(), Unavailable> {
        let (job, id) = (at.job.to_string(), worker.0.to_string());
        let [job, location] = location_params(&job, at);
        let release = Statement::new(Sql::of(D::DIALECT).release, [job, location, (&*id).into()]);
        self.0.transaction(vec![release]).await.map(drop)
    }

    async fn begin_plan(&self, worker: WorkerId, at: LocationKey) -> Result<bool, Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let (job, id) = (at.job.to_string(), worker.0.to_string());
        let [job, location] = location_params(&job, at);
        let statements = vec![
            Statement::new(sql.hold, [job, location, (&*id).into()]).required(),
            Statement::new(sql.clear_items, [job, location]),
            Statement::new(sql.clear_location, [job, location]),
        ];
        Ok(self.0.transaction(statements).await?.is_some())
    }

    async fn add_items(
        &self,
        worker: WorkerId,
        at: LocationKey,
        first: u32,
        items: &[PlannedItem],
    ) -> Result<Option<u64>, Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let rows = rows::planned(items).map_err(corrupt_row::<D::Row>)?;
        let (job_id, id) = (at.job.to_string(), worker.0.to_string());
        let [job, location] = location_params(&job_id, at);
        let statements = vec![
            Statement::new(sql.hold, [job, location, (&*id).into()]).required(),
            Statement::new(sql.insert_items, [(&*rows).into(), job, location, i64::from(first).into()]),
            Statement::new(sql.add_counts, count_params(&job_id, at.location, &counts(items))),
            Statement::new(sql.total, [job]),
        ];
        let Some(done) = self.0.transaction(statements).await? else { return Ok(None) };
        done.last().and_then(|rows| rows.first()).map(|row| row.unsigned(0)).transpose()
    }

    async fn finish_plan(
        &self,
        worker: WorkerId,
        at: LocationKey,
        plan: &LocationPlan,
    ) -> Result<bool, Unavailable> {
        let failure = plan.failure.as_ref().map(serde_json::to_string).transpose();
        let failure = failure.map_err(corrupt_row::<D::Row>)?;
        let (job, id) = (at.job.to_string(), worker.0.to_string());
        let [job, location] = location_params(&job, at);
        let key = plan.key.as_ref().map(KmsKeyArn::as_str);
        let params = [job, location, (&*id).into(), key.into(), failure.as_deref().into()];
        let finish = Statement::new(Sql::of(D::DIALECT).finish_plan, params).required();
        Ok(self.0.transaction(vec![finish]).await?.is_some())
    }

    async fn queued(
        &self,
        at: LocationKey,
        state: ItemState,
        from: u32,
        limit: u32,
    ) -> Result<Vec<Item>, Unavailable> {
        let job = at.job.to_string();
        let [job, location] = location_params(&job, at);
        let params = [job, location, i64::from(from).into(), state.number().into(), i64::from(limit).into()];
        let found = self.0.rows(Sql::of(D::DIALECT).queued_items, &params).await?;
        found.iter().map(rows::item).collect()
    }

    async fn advance(
        &self,
        worker: WorkerId,
        token: Uuid,
        steps: &[QueueStep],
    ) -> Result<Vec<StepOutcome>, Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let (token, id) = (token.to_string(), worker.0.to_string());
        let keys: Vec<String> = steps.iter().map(|step| step.at.job.to_string()).collect();
        let json = |text: Result<String, serde_json::Error>| text.map_err(corrupt_row::<D::Row>);
        let jobs = json(row_values::list(keys.iter().collect::<HashSet<_>>()))?;
        let places = keys.iter().zip(steps).map(|(job, step)| (job, step.at.location));
        let places = json(row_values::json(&places.collect::<Vec<_>>()))?;
        let ended = json(rows::ended(steps.iter().flat_map(|step| &step.ended)))?;
        let claims = keys
            .iter()
            .zip(steps)
            .flat_map(|(job, step)| step.claim.iter().map(move |seq| (job, step.at.location, *seq)));
        let claims = json(row_values::json(&claims.collect::<Vec<_>>()))?;
        let mut statements = vec![
            Statement::new(sql.lock_jobs, [(&*jobs).into()]),
            Statement::new(sql.held, [(&*places).into(), (&*id).into()]),
            Statement::new(sql.end_counts, [(&*ended).into(), (&*id).into()]),
            Statement::new(sql.end_items, [(&*ended).into(), (&*id).into()]),
            Statement::new(sql.pause_after_failures, [(&*jobs).into()]),
            Statement::new(sql.pause_after_canary, [(&*jobs).into()]),
        ];
        let first_claim = statements.len();
        // One statement for each, so that each sees what the ones before it leave of a canary.
        for (step, job) in steps.iter().zip(&keys) {
            let count = i64::try_from(step.claim.len()).unwrap_or(i64::MAX);
            let [job, location] = location_params(job, step.at);
            let params = [job, location, (&*id).into(), (&*token).into(), count.into()];
            statements.push(Statement::new(sql.claim_location, params));
        }
        statements.push(Statement::new(sql.claim_items, [(&*claims).into(), (&*token).into()]));
        let done = self.0.transaction(statements).await?.unwrap_or_default();
        let held = done.get(1).map_or(&[][..], Vec::as_slice).iter().map(|row| {
            let location = u32::try_from(row.unsigned(1)?).map_err(corrupt_row::<D::Row>)?;
            Ok((row.required_text(0)?.to_owned(), location))
        });
        let held: HashSet<(String, u32)> = held.collect::<Result<_, Unavailable>>()?;
        let outcome = |((number, step), job): ((usize, &QueueStep), String)| {
            let claimed = done.get(first_claim + number).is_some_and(|rows| !rows.is_empty());
            if !held.contains(&(job, step.at.location)) {
                StepOutcome::ClaimLost
            } else if step.claim.is_empty() || claimed {
                StepOutcome::Done
            } else {
                StepOutcome::NotClaimed
            }
        };
        Ok(steps.iter().enumerate().zip(keys).map(outcome).collect())
    }

    async fn open_jobs(&self) -> Result<Vec<OpenJob>, Unavailable> {
        let found = self.0.rows(Sql::of(D::DIALECT).open_jobs, &[]).await?;
        found.iter().map(rows::open_job).collect()
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
