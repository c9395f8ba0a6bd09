//! Keeps the repairs of resources.

use async_trait::async_trait;

use super::{sql::Sql, tables::RuleTables};
use crate::{
    domain::{association::Resource, tenant::TenantId, time::Timestamp},
    ports::{Unavailable, rules::RepairLog},
    store::{
        columns::{Columns as _, corrupt_row},
        row_values::{json, target_name},
        transaction::{Statement, Transactions},
    },
};

#[async_trait]
impl<D: Transactions + Send + Sync + 'static> RepairLog for RuleTables<D> {
    async fn count(
        &self,
        tenant: &TenantId,
        resources: &[Resource],
        since: Timestamp,
    ) -> Result<Vec<u32>, Unavailable> {
        let mut counts = vec![0; resources.len()];
        if resources.is_empty() {
            return Ok(counts);
        }
        let rows = resource_rows(resources).map_err(corrupt_row::<D::Row>)?;
        let params = [(&*rows).into(), tenant.as_str().into(), since.as_micros().into()];
        for row in &self.0.rows(Sql::of(D::DIALECT).count_repairs, &params).await? {
            let at = usize::try_from(row.unsigned(0)?).map_err(corrupt_row::<D::Row>)?;
            if let Some(count) = counts.get_mut(at) {
                *count = u32::try_from(row.unsigned(1)?).map_err(corrupt_row::<D::Row>)?;
            }
        }
        Ok(counts)
    }

    async fn record(
        &self,
        tenant: &TenantId,
        resources: &[Resource],
        at: Timestamp,
        forget: Timestamp,
    ) -> Result<(), Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let rows = resource_rows(resources).map_err(corrupt_row::<D::Row>)?;
        let add = [(&*rows).into(), tenant.as_str().into(), at.as_micros().into()];
        let statements = vec![
            Statement::new(sql.add_repairs, add),
            Statement::new(sql.forget_repairs, [forget.as_micros().into()]),
        ];
        self.0.transaction(statements).await.map(drop)
    }
}

/// The rows of resources, each with its number.
fn resource_rows(resources: &[Resource]) -> Result<String, serde_json::Error> {
    let row = |(number, resource): (u32, &Resource)| {
        let Resource { location, target } = resource;
        (number, location.account.to_string(), location.region.to_string(), target_name(target).to_owned())
    };
    json(&(0..).zip(resources).map(row).collect::<Vec<_>>())
}
