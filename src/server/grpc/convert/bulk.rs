//! Converts the requests of `BulkAssociationService`.

use uuid::Uuid;

use super::fields::{Fields, InvalidField};
use crate::{
    domain::{
        association::UnresolvedLocation,
        aws::{AccountId, Region},
        fleet::{BulkChange, DEFAULT_MAX_FAILURES, ItemState, JobId, JobSpec, JobState, Safety},
        reason::Reason,
        tenant::TenantId,
        time::Timestamp,
    },
    proto,
    service::{CreateJob, ItemQuery, JobQuery},
};

/// The microseconds of a second.
const MICROS: i64 = 1_000_000;

/// A request to revert a job.
pub(in crate::server) struct RevertRequest {
    pub(in crate::server) id: JobId,
    pub(in crate::server) request_id: Option<Uuid>,
    pub(in crate::server) reason: Option<Box<str>>,
}

pub(in crate::server) fn create(
    wire: proto::CreateBulkAssociationRequest,
) -> Result<CreateJob, InvalidField> {
    use proto::create_bulk_association_request::Change;
    let mut fields = Fields::default();
    let change = match &wire.change {
        Some(Change::Key(choice)) => fields.key_choice(choice).map(BulkChange::SetKey),
        Some(Change::Disassociate(true)) => Some(BulkChange::RemoveKey),
        Some(Change::Disassociate(false)) => {
            fields.violation("disassociate", "is false: set it to true, or set key");
            None
        }
        None => {
            fields.violation("change", "is required: set key or disassociate");
            None
        }
    };
    let chooses_key = !matches!(wire.change, Some(Change::Disassociate(_)));
    if wire.selection.is_none() {
        fields.violation("selection", "is required: an empty selection selects every log group");
    }
    let selection = fields.selection(&wire.selection.unwrap_or_default(), chooses_key);
    let safety = fields.safety(wire.safety.unwrap_or_default());
    let reason = fields.reason(&wire.reason);
    let request_id = fields.request_id(&wire.request_id);
    fields.finish()?;
    let Some(change) = change else { return Err(InvalidField::missing_request()) };
    let reason = reason.map(|reason| reason.as_str().into());
    Ok(CreateJob { spec: JobSpec { selection, change, safety, reason }, start: wire.start, request_id })
}

pub(in crate::server) fn job_id(id: &str) -> Result<JobId, InvalidField> {
    let mut fields = Fields::default();
    let id = fields.job_id(id);
    fields.finish()?;
    id.ok_or_else(InvalidField::missing_request)
}

pub(in crate::server) fn revert(
    wire: &proto::RevertBulkAssociationRequest,
) -> Result<RevertRequest, InvalidField> {
    let mut fields = Fields::default();
    let id = fields.job_id(&wire.id);
    let request_id = fields.request_id(&wire.request_id);
    let reason = fields.reason(&wire.reason).map(|reason| reason.as_str().into());
    fields.finish()?;
    let Some(id) = id else { return Err(InvalidField::missing_request()) };
    Ok(RevertRequest { id, request_id, reason })
}

pub(in crate::server) fn list_jobs(
    wire: proto::ListBulkAssociationsRequest,
) -> Result<JobQuery, InvalidField> {
    let mut fields = Fields::default();
    let page_size = fields.page(wire.page_size);
    let mut states = Vec::with_capacity(wire.states.len());
    for (number, state) in wire.states.iter().enumerate() {
        match proto::BulkState::try_from(*state).ok().and_then(job_state) {
            Some(state) => states.push(state),
            None => fields.violation(
                &format!("states[{number}]"),
                "is not a BulkState of this release: use a value from its .proto file",
            ),
        }
    }
    let tenant = fields.tenant(&wire.tenant_id);
    fields.finish()?;
    Ok(JobQuery { states, tenant, page_size, unverified_page_token: wire.page_token.into() })
}

pub(in crate::server) fn list_items(
    wire: proto::ListBulkAssociationItemsRequest,
) -> Result<ItemQuery, InvalidField> {
    let mut fields = Fields::default();
    let job = fields.job_id(&wire.id);
    let page_size = fields.page(wire.page_size);
    let mut states = Vec::with_capacity(wire.states.len());
    for (number, state) in wire.states.iter().enumerate() {
        match proto::BulkItemState::try_from(*state).ok().and_then(item_state) {
            Some(state) => states.push(state),
            None => fields.violation(
                &format!("states[{number}]"),
                "is not a BulkItemState of this release: use a value from its .proto file",
            ),
        }
    }
    let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    for (number, reason) in wire.reasons.iter().enumerate() {
        fields.known(&format!("reasons[{number}]"), reason, &names);
    }
    let optional = |text: &str| !text.is_empty();
    let location = UnresolvedLocation {
        account: optional(&wire.account_id)
            .then(|| fields.parse::<AccountId>("account_id", &wire.account_id))
            .flatten(),
        region: optional(&wire.region).then(|| fields.parse::<Region>("region", &wire.region)).flatten(),
    };
    let tenant = fields.tenant(&wire.tenant_id);
    fields.finish()?;
    let Some(job) = job else { return Err(InvalidField::missing_request()) };
    Ok(ItemQuery {
        job,
        tenant,
        states,
        reasons: wire.reasons.into_iter().map(Into::into).collect(),
        location,
        page_size,
        unverified_page_token: wire.page_token.into(),
    })
}

impl Fields {
    fn job_id(&mut self, id: &str) -> Option<JobId> {
        if id.is_empty() {
            self.violation("id", "is required: use the id that CreateBulkAssociation returned");
            return None;
        }
        self.parse::<JobId>("id", id)
    }

    pub(super) fn tenant(&mut self, id: &str) -> Option<TenantId> {
        (!id.is_empty()).then(|| self.parse::<TenantId>("tenant_id", id)).flatten()
    }

    fn safety(&mut self, wire: proto::Safety) -> Safety {
        Safety {
            max_failures: wire.max_failures.unwrap_or(DEFAULT_MAX_FAILURES),
            canary: wire.canary,
            start_time: wire.start_time.and_then(|time| self.timestamp("safety.start_time", time)),
            end_time: wire.end_time.and_then(|time| self.timestamp("safety.end_time", time)),
        }
    }

    pub(super) fn timestamp(&mut self, field: &str, time: prost_types::Timestamp) -> Option<Timestamp> {
        let micros = time.seconds.checked_mul(MICROS).map(|micros| micros + i64::from(time.nanos) / 1_000);
        let valid = micros.filter(|_| (0..1_000_000_000).contains(&time.nanos));
        if valid.is_none() {
            self.violation(field, "is not a valid time: use one between the years 1 and 9999");
        }
        valid.map(Timestamp::from_micros)
    }
}

fn job_state(state: proto::BulkState) -> Option<JobState> {
    use proto::BulkState as Wire;
    match state {
        Wire::Unspecified => None,
        Wire::Planning => Some(JobState::Planning),
        Wire::Planned => Some(JobState::Planned),
        Wire::Running => Some(JobState::Running),
        Wire::Paused => Some(JobState::Paused),
        Wire::Succeeded => Some(JobState::Succeeded),
        Wire::CompletedWithFailures => Some(JobState::CompletedWithFailures),
        Wire::Cancelled => Some(JobState::Cancelled),
        Wire::Failed => Some(JobState::Failed),
    }
}

fn item_state(state: proto::BulkItemState) -> Option<ItemState> {
    use proto::BulkItemState as Wire;
    match state {
        Wire::Unspecified => None,
        Wire::Blocked => Some(ItemState::Blocked),
        Wire::Waiting => Some(ItemState::Waiting),
        Wire::Running => Some(ItemState::Running),
        Wire::Succeeded => Some(ItemState::Succeeded),
        Wire::Unchanged => Some(ItemState::Unchanged),
        Wire::Failed => Some(ItemState::Failed),
        Wire::Unknown => Some(ItemState::Unknown),
        Wire::Skipped => Some(ItemState::Skipped),
    }
}
