//! Who may use a job. A job of another tenant is as if it did not exist, except for reads of operators.

use crate::{
    domain::{
        audit::{JournalEntry, Kind},
        authorization::{FleetResource, ResourceScope},
        fleet::{BulkChange, Job, JobId, JobSpec},
        fleet_kind::FleetKind,
        principal::Scope,
        tenant::TenantId,
    },
    service::{
        context::Context,
        error::{AccessError, Error, FleetError, StorageError},
        fleet::ports::Fleet,
    },
};

impl Fleet {
    /// The job, if the caller may make this call for it.
    pub(super) async fn job(&self, cx: &mut Context, id: JobId, access: Access) -> Result<Job, Error> {
        require_scope(cx, access)?;
        cx.audit.job(id);
        let tenant = cx.tenant()?;
        let found = cx.in_turn(self.ports.jobs.find(id)).await?;
        let is_operator = access == Access::Read && cx.caller.scopes.contains(Scope::Admin);
        let visible = found.filter(|job| job.creator.tenant == tenant.id || is_operator);
        let Some(job) = visible else { return Err(Error::Fleet(FleetError::JobNotFound(id))) };
        authorize(cx, Some(&job.creator.tenant), &id.to_string())?;
        Ok(job)
    }
}

/// What a call does with jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It reads them.
    Read,
    /// It changes them.
    Change,
}

/// Fails unless the token has the scope of the call.
pub(super) fn require_scope(cx: &Context, access: Access) -> Result<(), Error> {
    if access == Access::Read && cx.caller.scopes.contains(Scope::Admin) {
        return Ok(());
    }
    cx.require(Scope::Bulk)
}

/// Lets policy decide about the jobs of this owner, or of all tenants.
pub(super) fn authorize(cx: &mut Context, owner: Option<&TenantId>, id: &str) -> Result<(), Error> {
    let tenant = cx.tenant()?;
    let resource = FleetResource { kind: FleetKind::BulkJob, owner, id };
    cx.authorize_scope(&tenant, ResourceScope::Fleet(resource))
}

/// Fails unless the token has the scopes of the changes that a job makes.
pub(super) fn require_change_scopes(cx: &Context, spec: &JobSpec) -> Result<(), Error> {
    match &spec.change {
        BulkChange::SetKey(_) => cx.require(Scope::Associate)?,
        BulkChange::RemoveKey => cx.require(Scope::Disassociate)?,
        // Each item of a revert is authorized when its turn comes. Here one of the scopes suffices.
        BulkChange::Revert => {
            cx.require(Scope::Associate).or_else(|_missing| cx.require(Scope::Disassociate))?;
        }
    }
    let is_results = |resource: &crate::domain::arn::ResourceArn| {
        resource.target == crate::domain::association::Target::QueryResults
    };
    if spec.selection.query_results || spec.selection.resources.iter().any(is_results) {
        cx.require(Scope::QueryResults)?;
    }
    Ok(())
}

/// Records a call that changed a job, durably.
pub(super) async fn record_change(cx: &Context) -> Result<(), Error> {
    let event = cx.audit.build_entry(cx.ports(), Kind::Outcome, None);
    let commit = cx.ports().audit.commit(JournalEntry::event_only(event)).await;
    commit.map(drop).map_err(|error| StorageError::AuditUnavailable(Some(error)).into())
}

/// Whose jobs a caller may list, of those that it asks for.
pub(super) enum Visible {
    /// The jobs of all tenants.
    All,
    /// The jobs of this tenant.
    Of(TenantId),
    /// No job.
    Nothing,
}

/// Whose jobs the caller may list. The jobs of another tenant are as if there were none.
pub(super) fn visible_owner(cx: &mut Context, requested: Option<TenantId>) -> Result<Visible, Error> {
    let own = cx.tenant()?.id.clone();
    let is_operator = cx.caller.scopes.contains(Scope::Admin);
    let owner = match requested {
        Some(requested) if requested != own && !is_operator => return Ok(Visible::Nothing),
        Some(requested) => Some(requested),
        None if is_operator => None,
        None => Some(own.clone()),
    };
    match authorize(cx, owner.as_ref(), "") {
        Ok(()) => Ok(owner.map_or(Visible::All, Visible::Of)),
        // An operator whom policy denies the jobs of all tenants still sees its own.
        Err(Error::Access(AccessError::NotAllowed { .. })) if owner.is_none() => {
            authorize(cx, Some(&own), "")?;
            Ok(Visible::Of(own))
        }
        Err(error) => Err(error),
    }
}
