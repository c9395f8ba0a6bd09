//! Who may use a rule. A rule of another tenant is as if it did not exist, except for reads of operators.

use crate::{
    domain::{
        audit::{JournalEntry, Kind},
        authorization::{FleetResource, ResourceScope},
        fleet::{EncryptionRule, RuleDefinition, RuleId, RuleMode, RuleOrigin},
        fleet_kind::FleetKind,
        principal::Scope,
        tenant::TenantId,
    },
    service::{
        context::Context,
        error::{Error, FleetError, RequestError, StorageError},
        fleet::{ports::Fleet, rules::stored::find_rule},
    },
};

/// Fails unless the token has the scope to read rules.
pub(super) fn require_read(cx: &Context) -> Result<(), Error> {
    if cx.caller.scopes.contains(Scope::Admin) { Ok(()) } else { cx.require(Scope::Read) }
}

/// Fails unless the token has the scopes to act through a rule with this definition.
pub(super) fn require_change(cx: &Context, definition: &RuleDefinition) -> Result<(), Error> {
    cx.require(Scope::Bulk)?;
    if definition.mode == RuleMode::Enforce {
        cx.require(Scope::Associate)?;
        if definition.selection.query_results {
            cx.require(Scope::QueryResults)?;
        }
    }
    Ok(())
}

/// Lets policy decide about the rules of this owner, or of all tenants.
pub(super) fn authorize(cx: &mut Context, owner: Option<&TenantId>, id: &str) -> Result<(), Error> {
    let tenant = cx.tenant()?;
    let resource = FleetResource { kind: FleetKind::EncryptionRule, owner, id };
    cx.authorize_scope(&tenant, ResourceScope::Fleet(resource))
}

pub(super) fn not_found(id: &RuleId) -> Error {
    Error::Request(RequestError::RuleNotFound(id.as_str().into()))
}

impl Fleet {
    /// A rule of the caller's own tenant, if the caller may make this call for it.
    pub(super) async fn own_rule(&self, cx: &mut Context, id: &RuleId) -> Result<EncryptionRule, Error> {
        cx.audit.detail(&format!("encryption rule {id}"));
        let tenant = cx.tenant()?;
        let found = cx.in_turn(find_rule(self, &tenant, id)).await?;
        let rule = found.ok_or_else(|| not_found(id))?;
        authorize(cx, Some(&tenant.id), id.as_str())?;
        Ok(rule)
    }

    /// A rule of the caller's own tenant that the caller may change.
    pub(super) async fn changeable_rule(
        &self,
        cx: &mut Context,
        id: &RuleId,
        etag: &str,
    ) -> Result<EncryptionRule, Error> {
        let rule = self.own_rule(cx, id).await?;
        if rule.origin == RuleOrigin::Configuration {
            return Err(Error::Fleet(FleetError::RuleReadOnly(id.clone())));
        }
        let current = rule.etag();
        if !etag.is_empty() && etag != current {
            return Err(Error::Fleet(FleetError::EtagMismatch { current }));
        }
        Ok(rule)
    }
}

/// Records a call that changed a rule, durably.
pub(super) async fn record_change(cx: &mut Context, detail: &str) -> Result<(), Error> {
    cx.audit.detail(detail);
    let event = cx.audit.build_entry(cx.ports(), Kind::Outcome, None);
    let commit = cx.ports().audit.commit(JournalEntry::event_only(event)).await;
    commit.map(drop).map_err(|error| StorageError::AuditUnavailable(Some(error)).into())
}
