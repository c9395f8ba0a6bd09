//! Parses a stored event from its bytes alone, for lists, searches and the log's own operations.

use thiserror::Error;

use crate::{
    domain::{
        audit::schema::{ApiActivity, Detail, KEY_RESOURCE, Session, Text},
        time::Timestamp,
    },
    ports::StoredEvent,
};

/// The fields of a stored event that the service shows or uses. Texts were sanitized when they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedEvent {
    /// The position in the log; the first is 1.
    pub seq: u64,
    /// `metadata.uid`.
    pub id: String,
    /// `unmapped.logkey.time_us`, otherwise `time`.
    pub time: Timestamp,
    /// `metadata.event_code`.
    pub kind: String,
    /// `metadata.tenant_uid`.
    pub tenant: Option<String>,
    /// `actor.user.uid`.
    pub subject: Option<String>,
    /// `api.operation`.
    pub action: String,
    /// `uid` of the event's resource.
    pub resource: Option<String>,
    /// `actor.session.issuer`.
    pub issuer: Option<String>,
    /// `actor.session.uid`.
    pub token_id: Option<String>,
    /// `unmapped.logkey.on_behalf_of`: the person for whom a program calls.
    pub on_behalf_of: Option<String>,
    /// `actor.app_uid`: the program that calls for this person.
    pub delegate: Option<String>,
    /// `cloud.account.uid`.
    pub account: Option<String>,
    /// `cloud.region`.
    pub region: Option<String>,
    /// `name` of the event's resource, if it is a log group.
    pub log_group: Option<String>,
    /// `unmapped.logkey.requested_key`.
    pub requested_key: Option<String>,
    /// `unmapped.logkey.resolved_key`.
    pub resolved_key: Option<String>,
    /// `unmapped.logkey.previous_key`.
    pub previous_key: Option<String>,
    /// `OK`, the reason of a failure, or the result of a reconciliation; none for an intent.
    pub outcome: Option<String>,
    /// `status_detail`.
    pub detail: Option<String>,
    /// `metadata.correlation_uid`.
    pub correlation: String,
    /// How many equal events this event represents.
    pub count: u32,
    /// `OK` or the reason of a failure; none for an intent.
    pub status: Option<String>,
    /// `unmapped.logkey.closes`: the intent that this event ends.
    pub closes: Option<String>,
    /// `unmapped.logkey.job`: the bulk job of the operation.
    pub job: Option<String>,
    /// `unmapped.logkey.trace_id`: the trace of the call.
    pub trace: Option<String>,
    /// What an `Archive` event says.
    pub archived: Option<ArchivedEvent>,
    /// What a `RotateKey` event says.
    pub rotated: Option<RotatedEvent>,
    /// What a `RestartLog` event says.
    pub restarted: Option<RestartedEvent>,
}

/// The content of an `Archive` event. Only its proof is evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedEvent {
    /// `unmapped.logkey.archived_last`: the last archived position.
    pub last: u64,
    /// `unmapped.logkey.archived_root`: the root of the tree over the archived events.
    pub root: String,
    /// `unmapped.logkey.proof`; none in an event of an earlier release.
    pub proof: Option<String>,
}

/// The content of a `RotateKey` event. Only its proof is evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotatedEvent {
    /// `unmapped.logkey.old_verifier`: the key that signed checkpoints until here.
    pub from: String,
    /// `unmapped.logkey.new_verifier`: the key that signs them from here on.
    pub to: String,
    /// `unmapped.logkey.proof`; none in an event of an earlier release.
    pub proof: Option<String>,
}

/// The content of a `RestartLog` event. Its proof shows only that the holder of this log's key says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartedEvent {
    /// `unmapped.logkey.old_size`: how many events the newest checkpoint of the former log covers.
    pub size: u64,
    /// `unmapped.logkey.old_root`: the root of that checkpoint.
    pub root: String,
    /// `unmapped.logkey.proof`.
    pub proof: Option<String>,
}

/// The stored bytes are not an event.
#[derive(Debug, Error)]
#[error("event {seq} cannot be read: its stored bytes are not an audit event; run `logkey audit verify`")]
pub struct Unreadable {
    /// The position of the event.
    pub seq: u64,
    /// The cause.
    #[source]
    pub source: serde_json::Error,
}

// === impl ParsedEvent ===

impl TryFrom<&StoredEvent> for ParsedEvent {
    type Error = Unreadable;

    fn try_from(stored: &StoredEvent) -> Result<Self, Self::Error> {
        let seq = stored.seq;
        let event = ApiActivity::parse(&stored.body).map_err(|source| Unreadable { seq, source })?;
        let (time, status) = (event.time(), event.outcome().map(str::to_owned));
        let own = event.unmapped.logkey;
        let about = event.resources.into_iter().find(|resource| resource.r#type.as_str() != KEY_RESOURCE);
        let (resource, log_group) = match about {
            Some(Detail { uid, name, r#type: _ }) => (Some(uid), name),
            None => (None, None),
        };
        let (token_id, issuer) = match event.actor.session {
            Some(Session { uid, issuer }) => (uid, issuer),
            None => (None, None),
        };
        let owned = |text: Option<Text<'_>>| text.map(Text::into_string);
        let proof = owned(own.proof);
        Ok(Self {
            seq,
            id: event.metadata.uid.into_string(),
            time,
            kind: event.metadata.event_code.into_string(),
            tenant: owned(event.metadata.tenant_uid),
            subject: event.actor.user.map(|user| user.uid.into_string()),
            action: event.api.operation.into_string(),
            resource: owned(resource),
            issuer: owned(issuer),
            token_id: owned(token_id),
            on_behalf_of: owned(own.on_behalf_of),
            delegate: owned(event.actor.app_uid),
            account: event.cloud.account.map(|account| account.uid.into_string()),
            region: owned(event.cloud.region),
            log_group: owned(log_group),
            requested_key: owned(own.requested_key),
            resolved_key: owned(own.resolved_key),
            previous_key: owned(own.previous_key),
            outcome: owned(own.reconciled).or_else(|| status.clone()),
            detail: owned(event.status_detail),
            correlation: event.metadata.correlation_uid.into_string(),
            count: event.count.unwrap_or(1),
            status,
            closes: owned(own.closes),
            job: owned(own.job),
            trace: owned(own.trace_id),
            archived: own.archived_last.zip(owned(own.archived_root)).map(|(last, root)| ArchivedEvent {
                last,
                root,
                proof: proof.clone(),
            }),
            rotated: owned(own.old_verifier).zip(owned(own.new_verifier)).map(|(from, to)| RotatedEvent {
                from,
                to,
                proof: proof.clone(),
            }),
            restarted: own.old_size.zip(owned(own.old_root)).map(|(size, root)| RestartedEvent {
                size,
                root,
                proof,
            }),
        })
    }
}
