//! Stores rules and reads them.

use async_trait::async_trait;

use super::{sql::Sql, tables::RuleTables};
use crate::{
    domain::{
        fleet::{Creator, EncryptionRule, RuleId, RuleOrigin, RuleState, RuleStatus},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        Unavailable,
        rules::{EvaluatedRule, EvaluatedState, NewRule, RuleCreation, RuleFilter, RuleKey, RuleStore},
    },
    store::{
        columns::{Columns, corrupt_row, to_i64},
        row_values::{self, from_json, known, parse, time},
        transaction::{Statement, Transactions},
    },
};

/// The columns of a rule that are JSON.
struct Texts {
    definition: String,
    creator: String,
}

#[async_trait]
impl<D: Transactions + Send + Sync + 'static> RuleStore for RuleTables<D> {
    async fn create(&self, new: &NewRule) -> Result<RuleCreation, Unavailable> {
        let NewRule { rule, request, max_rules } = new;
        let sql = Sql::of(D::DIALECT);
        let Texts { definition, creator } = texts::<D::Row>(rule)?;
        let tenant = rule.tenant().as_str();
        let request_id = request.as_ref().map(|request| request.id.to_string());
        let mut statements = vec![Statement::new(sql.lock_tenant, [tenant.into()])];
        if let (Some(request), Some(request_id)) = (request, &request_id) {
            let params = [tenant.into(), (&**request_id).into(), request.since.as_micros().into()];
            statements.push(Statement::new(sql.forget_request, params));
        }
        let insert = [
            tenant.into(),
            rule.id.as_str().into(),
            i64::from(rule.definition.priority).into(),
            (&*definition).into(),
            (&*creator).into(),
            rule.created.map(Timestamp::as_micros).into(),
            rule.status.state.number().into(),
            to_i64(rule.status.version).into(),
            request_id.as_deref().into(),
            request.as_ref().map(|request| &*request.fingerprint).into(),
            i64::from(*max_rules).into(),
        ];
        statements.push(Statement::new(sql.insert, insert).required());
        statements.push(Statement::new(sql.make_due, [tenant.into(), 0.into()]));
        if self.0.transaction(statements).await?.is_some() {
            return Ok(RuleCreation::Created);
        }
        let Some((request, request_id)) = request.as_ref().zip(request_id.as_deref()) else {
            return Ok(RuleCreation::TooMany);
        };
        let found = self.0.rows(sql.request, &[tenant.into(), request_id.into()]).await?;
        let Some(row) = found.first() else { return Ok(RuleCreation::TooMany) };
        if row.text(1)? == Some(&*request.fingerprint) {
            Ok(RuleCreation::Exists(parse::<D::Row, RuleId>(row.required_text(0)?)?))
        } else {
            Ok(RuleCreation::RequestIdReused)
        }
    }

    async fn find(
        &self,
        tenant: Option<&TenantId>,
        id: &RuleId,
    ) -> Result<Option<EncryptionRule>, Unavailable> {
        let params = [id.as_str().into(), tenant.map_or("", TenantId::as_str).into()];
        let found = self.0.rows(Sql::of(D::DIALECT).find, &params).await?;
        found.first().map(rule).transpose()
    }

    async fn list(&self, filter: &RuleFilter, limit: u32) -> Result<Vec<EncryptionRule>, Unavailable> {
        let states = row_values::list(filter.states.iter().map(|state| state.number()));
        let states = states.map_err(corrupt_row::<D::Row>)?;
        let after = filter.after.as_ref();
        let priority = after.map_or(i64::MIN, |after| i64::from(after.priority));
        let id = after.map_or("", |RuleKey { id, .. }| id.as_str());
        let params = [
            (&*states).into(),
            filter.tenant.as_ref().map_or("", TenantId::as_str).into(),
            priority.into(),
            id.into(),
            after.map_or("", |after| after.tenant.as_str()).into(),
            i64::from(limit).into(),
        ];
        let found = self.0.rows(Sql::of(D::DIALECT).list, &params).await?;
        found.iter().map(rule).collect()
    }

    async fn configured(&self, tenant: &TenantId) -> Result<Vec<EncryptionRule>, Unavailable> {
        let found = self.0.rows(Sql::of(D::DIALECT).configured, &[tenant.as_str().into()]).await?;
        found.iter().map(rule).collect()
    }

    async fn update(&self, rule: &EncryptionRule) -> Result<bool, Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let Texts { definition, creator } = texts::<D::Row>(rule)?;
        let tenant = rule.tenant().as_str();
        let update = [
            tenant.into(),
            rule.id.as_str().into(),
            i64::from(rule.definition.priority).into(),
            (&*definition).into(),
            (&*creator).into(),
            rule.updated.map(Timestamp::as_micros).into(),
            rule.status.state.number().into(),
            rule.status.pause_reason.as_deref().into(),
            to_i64(rule.status.version).into(),
        ];
        let statements = vec![
            Statement::new(sql.update, update).required(),
            Statement::new(sql.make_due, [tenant.into(), 0.into()]),
        ];
        Ok(self.0.transaction(statements).await?.is_some())
    }

    async fn delete(&self, rule: &EncryptionRule) -> Result<bool, Unavailable> {
        let sql = Sql::of(D::DIALECT);
        let tenant = rule.tenant().as_str();
        let delete = [tenant.into(), rule.id.as_str().into(), to_i64(rule.status.version).into()];
        let statements = vec![
            Statement::new(sql.delete, delete).required(),
            Statement::new(sql.make_due, [tenant.into(), 0.into()]),
        ];
        Ok(self.0.transaction(statements).await?.is_some())
    }

    async fn record_evaluation(&self, evaluated: &EvaluatedRule) -> Result<(), Unavailable> {
        let EvaluatedRule { rule, evaluation, state } = evaluated;
        let sql = Sql::of(D::DIALECT);
        let Texts { definition, creator } = texts::<D::Row>(rule)?;
        let evaluation = serde_json::to_string(evaluation).map_err(corrupt_row::<D::Row>)?;
        let (tenant, id) = (rule.tenant().as_str(), rule.id.as_str());
        let version = to_i64(rule.status.version);
        let mut statements = Vec::new();
        if rule.origin == RuleOrigin::Configuration {
            let priority = i64::from(rule.definition.priority);
            let put = [
                tenant.into(),
                id.into(),
                priority.into(),
                (&*definition).into(),
                (&*creator).into(),
                version.into(),
            ];
            statements.push(Statement::new(sql.put_configured, put));
        }
        statements
            .push(Statement::new(sql.put_evaluation, [tenant.into(), id.into(), (&*evaluation).into()]));
        if let Some(state) = state {
            let (state, reason) = match state {
                EvaluatedState::Active => (RuleState::Active, None),
                EvaluatedState::Paused(reason) => (RuleState::Paused, Some(&**reason)),
            };
            let put = [tenant.into(), id.into(), state.number().into(), reason.into(), version.into()];
            statements.push(Statement::new(sql.put_state, put));
        }
        self.0.transaction(statements).await.map(drop)
    }

    async fn retain_configured(&self, tenant: &TenantId, existing: &[RuleId]) -> Result<(), Unavailable> {
        let ids = row_values::list(existing.iter().map(RuleId::as_str)).map_err(corrupt_row::<D::Row>)?;
        let params = [(&*ids).into(), tenant.as_str().into()];
        let delete = Statement::new(Sql::of(D::DIALECT).retain_configured, params);
        self.0.transaction(vec![delete]).await.map(drop)
    }
}

fn texts<R: Columns>(rule: &EncryptionRule) -> Result<Texts, Unavailable> {
    Ok(Texts {
        definition: serde_json::to_string(&rule.definition).map_err(corrupt_row::<R>)?,
        creator: serde_json::to_string(&rule.creator).map_err(corrupt_row::<R>)?,
    })
}

/// The rule of a row.
fn rule<R: Columns>(row: &R) -> Result<EncryptionRule, Unavailable> {
    let is_configured = row.required_number(1)? == RuleOrigin::Configuration.number();
    Ok(EncryptionRule {
        id: parse::<R, _>(row.required_text(0)?)?,
        origin: if is_configured { RuleOrigin::Configuration } else { RuleOrigin::Api },
        definition: from_json::<R, _>(row.required_text(2)?)?,
        creator: from_json::<R, Creator>(row.required_text(3)?)?,
        created: time(row, 4)?,
        updated: time(row, 5)?,
        status: RuleStatus {
            state: known(row, 6, RuleState::from_number)?,
            pause_reason: row.text(7)?.map(Into::into),
            version: row.unsigned(8)?,
            evaluation: row.text(9)?.map(from_json::<R, _>).transpose()?,
        },
    })
}
