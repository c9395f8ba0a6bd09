//! Converts requests to read the audit log, and converts its events and proofs to messages.

use uuid::Uuid;

use super::{
    answer::time,
    fields::{Fields, InvalidField},
};
use crate::{
    audit::{
        event::{operation_names, outcome_names},
        parsed_event::ParsedEvent,
    },
    domain::{audit::EventId, time::Timestamp},
    ports::{EventFilter, LeafHash, StoredEvent},
    proto,
    service::{AuditHead, ConsistencyProof, EventBatch, EventPage, InclusionProof},
};

/// The longest text of a filter, in bytes; no event holds a longer one.
const MAX_TEXT: usize = 2048;

/// A request for a page of events.
pub(in crate::server) struct ListAuditRequest {
    pub(in crate::server) filter: EventFilter,
    pub(in crate::server) page_size: u32,
    pub(in crate::server) unverified_page_token: String,
}

pub(in crate::server) fn list_audit(
    wire: proto::ListAuditEventsRequest,
) -> Result<ListAuditRequest, InvalidField> {
    let mut fields = Fields::default();
    let page_size = fields.page(wire.page_size);
    let filter = fields.filter(wire.filter.unwrap_or_default());
    fields.finish()?;
    Ok(ListAuditRequest {
        filter,
        page_size: u32::try_from(page_size).unwrap_or(u32::MAX),
        unverified_page_token: wire.page_token,
    })
}

pub(in crate::server) fn list_audit_response(page: EventPage) -> proto::ListAuditEventsResponse {
    proto::ListAuditEventsResponse {
        events: page.events.into_iter().map(event).collect(),
        next_page_token: page.next_page_token.into(),
        archived_through: as_i64(page.archived_through),
    }
}

/// The filter, and the position after which the stream begins; `None` begins with new events.
pub(in crate::server) fn watch_audit(
    wire: proto::WatchAuditEventsRequest,
) -> Result<(EventFilter, Option<u64>), InvalidField> {
    let mut fields = Fields::default();
    let after = wire.after_position.map(|position| fields.non_negative("after_position", position));
    let filter = fields.filter(wire.filter.unwrap_or_default());
    fields.finish()?;
    Ok((filter, after))
}

pub(in crate::server) fn watch_audit_response(batch: EventBatch) -> proto::WatchAuditEventsResponse {
    let EventBatch { events, position } = batch;
    proto::WatchAuditEventsResponse {
        events: events.into_iter().map(event).collect(),
        position: as_i64(position),
    }
}

pub(in crate::server) fn checkpoint_response(head: AuditHead) -> proto::GetCheckpointResponse {
    let AuditHead { tree, verifiers } = head;
    proto::GetCheckpointResponse {
        checkpoint: tree.note,
        tree_size: as_i64(tree.size),
        root_hash: tree.root.to_vec(),
        sign_time: Some(time(tree.time)),
        verifier_keys: verifiers,
    }
}

/// The event's id, and the size of the tree; `None` is the newest tree.
pub(in crate::server) fn inclusion(
    wire: &proto::GetInclusionProofRequest,
) -> Result<(EventId, Option<u64>), InvalidField> {
    let mut fields = Fields::default();
    let id = Uuid::try_parse(&wire.event_id).ok().map(EventId);
    if id.is_none() {
        fields.violation("event_id", "is not a UUID: expected 8-4-4-4-12 hexadecimal digits");
    }
    let size = fields.non_negative("tree_size", wire.tree_size);
    fields.finish()?;
    Ok((id.ok_or_else(InvalidField::missing_request)?, (size > 0).then_some(size)))
}

pub(in crate::server) fn inclusion_response(proof: InclusionProof) -> proto::GetInclusionProofResponse {
    let InclusionProof { seq, size, leaf, hashes, checkpoint } = proof;
    proto::GetInclusionProofResponse {
        leaf_index: as_i64(seq.saturating_sub(1)),
        tree_size: as_i64(size),
        leaf_hash: leaf.to_vec(),
        hashes: hash_bytes(hashes),
        checkpoint: checkpoint.unwrap_or_default(),
    }
}

/// The smaller size and the larger one; `None` is the newest tree.
pub(in crate::server) fn consistency(
    wire: &proto::GetConsistencyProofRequest,
) -> Result<(u64, Option<u64>), InvalidField> {
    let mut fields = Fields::default();
    let from = fields.non_negative("old_tree_size", wire.old_tree_size);
    let to = fields.non_negative("new_tree_size", wire.new_tree_size);
    fields.finish()?;
    Ok((from, (to > 0).then_some(to)))
}

pub(in crate::server) fn consistency_response(proof: ConsistencyProof) -> proto::GetConsistencyProofResponse {
    let ConsistencyProof { from, to, hashes, checkpoint } = proof;
    proto::GetConsistencyProofResponse {
        old_tree_size: as_i64(from),
        new_tree_size: as_i64(to),
        hashes: hash_bytes(hashes),
        checkpoint: checkpoint.unwrap_or_default(),
    }
}

/// Converts a stored event. If its bytes cannot be parsed, the message has only its id, position and bytes.
fn event(stored: StoredEvent) -> proto::AuditEvent {
    let view = ParsedEvent::try_from(&stored);
    let StoredEvent { seq, id, tenant: _, body } = stored;
    let bare = proto::AuditEvent {
        id: id.to_string(),
        position: as_i64(seq),
        json: body,
        ..proto::AuditEvent::default()
    };
    let Ok(view) = view else { return bare };
    proto::AuditEvent {
        time: Some(time(view.time)),
        tenant_id: view.tenant.unwrap_or_default(),
        kind: view.kind,
        action: view.action,
        subject: view.subject.unwrap_or_default(),
        resource: view.resource.unwrap_or_default(),
        outcome: view.outcome.unwrap_or_default(),
        correlation_id: view.correlation,
        count: i32::try_from(view.count).unwrap_or(i32::MAX),
        ..bare
    }
}

fn hash_bytes(hashes: Vec<LeafHash>) -> Vec<Vec<u8>> {
    hashes.into_iter().map(Vec::from).collect()
}

fn as_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

// === impl Fields ===

impl Fields {
    fn non_negative(&mut self, field: &str, count: i64) -> u64 {
        u64::try_from(count).unwrap_or_else(|_negative| {
            self.violation(field, "is negative: expected 0 or more");
            0
        })
    }

    fn filter(&mut self, wire: proto::AuditEventFilter) -> EventFilter {
        let tenant = &wire.tenant_id;
        EventFilter {
            tenant: (!tenant.is_empty()).then(|| self.parse("filter.tenant_id", tenant)).flatten(),
            since: self.instant("filter.start_time", wire.start_time),
            until: self.instant("filter.end_time", wire.end_time),
            action: self.name("filter.action", wire.action, operation_names()),
            outcome: self.name("filter.outcome", wire.outcome, outcome_names()),
            correlation: self.bounded_text("filter.correlation_id", wire.correlation_id),
            subject: self.bounded_text("filter.subject", wire.subject),
            resource: self.bounded_text("filter.resource", wire.resource),
            ..EventFilter::default()
        }
    }

    fn name(
        &mut self,
        field: &str,
        text: String,
        names: impl Iterator<Item = &'static str>,
    ) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        self.known(field, &text, &names.collect::<Vec<_>>());
        Some(text)
    }

    fn bounded_text(&mut self, field: &str, text: String) -> Option<String> {
        if text.len() > MAX_TEXT {
            self.violation(field, format!("is longer than {MAX_TEXT} bytes: no event holds so long a text"));
        }
        (!text.is_empty()).then_some(text)
    }

    fn instant(&mut self, field: &str, wire: Option<prost_types::Timestamp>) -> Option<Timestamp> {
        let wire = wire?;
        let micros = i64::from(wire.nanos) / 1000;
        let at = wire.seconds.checked_mul(1_000_000).and_then(|at| at.checked_add(micros));
        let at = at.filter(|_| (0..1_000_000_000).contains(&wire.nanos));
        if at.is_none() {
            self.violation(
                field,
                "is not a valid time: expected seconds since 1970, and 0 to 999999999 nanoseconds",
            );
        }
        at.map(Timestamp::from_micros)
    }
}
