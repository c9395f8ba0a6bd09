//! Distributes the evaluation of tenants between replicas.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{sql::Sql, tables::RuleTables};
use crate::{
    domain::{tenant::TenantId, time::Timestamp},
    ports::{
        Unavailable,
        rules::{EvaluationClaim, RuleSchedule},
    },
    store::{
        columns::{Columns as _, to_i64},
        row_values::{parse, time},
        transaction::{Statement, Transactions},
    },
};

#[async_trait]
impl<D: Transactions + Send + Sync + 'static> RuleSchedule for RuleTables<D> {
    async fn make_due(&self, tenant: &TenantId, at: Timestamp) -> Result<(), Unavailable> {
        let params = [tenant.as_str().into(), at.as_micros().into()];
        let make_due = Statement::new(Sql::of(D::DIALECT).make_due, params);
        self.0.transaction(vec![make_due]).await.map(drop)
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<TenantId>, Unavailable> {
        let params = [now.as_micros().into(), i64::from(limit).into()];
        let found = self.0.rows(Sql::of(D::DIALECT).due, &params).await?;
        found.iter().map(|row| parse::<D::Row, _>(row.required_text(0)?)).collect()
    }

    async fn next(&self, tenant: &TenantId) -> Result<Option<Timestamp>, Unavailable> {
        let found = self.0.rows(Sql::of(D::DIALECT).next, &[tenant.as_str().into()]).await?;
        found.first().map_or(Ok(None), |row| time(row, 0))
    }

    async fn claim(
        &self,
        tenant: &TenantId,
        lease: Duration,
    ) -> Result<Option<EvaluationClaim>, Unavailable> {
        let id = Uuid::new_v4();
        let text = id.to_string();
        let params = [tenant.as_str().into(), (&*text).into(), micros(lease).into()];
        let claim = Statement::new(Sql::of(D::DIALECT).claim, params).required();
        let Some(claimed) = self.0.transaction(vec![claim]).await? else { return Ok(None) };
        let Some(row) = claimed.first().and_then(|rows| rows.first()) else { return Ok(None) };
        Ok(Some(EvaluationClaim { tenant: tenant.clone(), id, generation: row.unsigned(0)? }))
    }

    async fn confirm(&self, claim: &EvaluationClaim, lease: Duration) -> Result<bool, Unavailable> {
        let id = claim.id.to_string();
        let params = [claim.tenant.as_str().into(), (&*id).into(), micros(lease).into()];
        let confirm = Statement::new(Sql::of(D::DIALECT).confirm, params).required();
        Ok(self.0.transaction(vec![confirm]).await?.is_some())
    }

    async fn release(&self, claim: &EvaluationClaim, next: Option<Timestamp>) -> Result<(), Unavailable> {
        let id = claim.id.to_string();
        let params = [
            claim.tenant.as_str().into(),
            (&*id).into(),
            to_i64(claim.generation).into(),
            next.map(Timestamp::as_micros).into(),
        ];
        let release = Statement::new(Sql::of(D::DIALECT).release, params);
        self.0.transaction(vec![release]).await.map(drop)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
