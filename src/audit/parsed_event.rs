//! Parses a stored event from its bytes alone, for lists, searches and the log's own operations.

use serde::Deserialize;
use thiserror::Error;

use crate::{domain::time::Timestamp, ports::StoredEvent};

/// `type` of the resource entry that names the key. The other entry is the event's resource.
const KEY: &str = "AWS::KMS::Key";

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
    /// `unmapped.logkey.archived_last` and `archived_root`: the last archived position, and the root of the
    /// tree over the archived events.
    pub archived: Option<(u64, String)>,
    /// `unmapped.logkey.old_verifier` and `new_verifier`: the key that signed checkpoints until here, and the
    /// key that signs them from here on.
    pub rotated: Option<(String, String)>,
}

/// The stored bytes are not an event.
#[derive(Debug, Error)]
#[error("event {seq} cannot be read: its stored bytes are not an audit event")]
pub struct Unreadable {
    /// The position of the event.
    pub seq: u64,
    /// The cause.
    #[source]
    pub source: serde_json::Error,
}

#[derive(Deserialize)]
struct OcsfEvent {
    time: i64,
    status_id: u8,
    status_code: Option<String>,
    status_detail: Option<String>,
    count: Option<u32>,
    metadata: Metadata,
    actor: Actor,
    api: Named,
    cloud: Cloud,
    #[serde(default)]
    resources: Vec<Resource>,
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
    tenant_uid: Option<String>,
    correlation_uid: String,
    event_code: String,
}

#[derive(Deserialize)]
struct Actor {
    user: Option<Uid>,
    session: Option<Session>,
}

#[derive(Deserialize)]
struct Session {
    uid: Option<String>,
    issuer: Option<String>,
}

#[derive(Deserialize)]
struct Cloud {
    account: Option<Uid>,
    region: Option<String>,
}

#[derive(Deserialize)]
struct Resource {
    uid: String,
    name: Option<String>,
    r#type: String,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

#[derive(Deserialize)]
struct Named {
    operation: String,
}

#[derive(Deserialize)]
struct Unmapped {
    logkey: LogkeyFields,
}

#[derive(Deserialize)]
struct LogkeyFields {
    previous_key: Option<String>,
    time_us: Option<i64>,
    #[serde(rename = "settled")]
    reconciled: Option<String>,
    requested_key: Option<String>,
    resolved_key: Option<String>,
    closes: Option<String>,
    archived_last: Option<u64>,
    archived_root: Option<String>,
    old_verifier: Option<String>,
    new_verifier: Option<String>,
}

// === impl ParsedEvent ===

impl TryFrom<&StoredEvent> for ParsedEvent {
    type Error = Unreadable;

    fn try_from(stored: &StoredEvent) -> Result<Self, Self::Error> {
        let seq = stored.seq;
        let wire: OcsfEvent =
            serde_json::from_str(&stored.body).map_err(|source| Unreadable { seq, source })?;
        let own = wire.unmapped.logkey;
        let about = wire.resources.into_iter().find(|resource| resource.r#type != KEY);
        let (resource, log_group) = match about {
            Some(Resource { uid, name, r#type: _ }) => (Some(uid), name),
            None => (None, None),
        };
        let (token_id, issuer) = match wire.actor.session {
            Some(Session { uid, issuer }) => (uid, issuer),
            None => (None, None),
        };
        let succeeded = (wire.status_id == 1).then(|| "OK".to_owned());
        let status = wire.status_code.or(succeeded);
        Ok(Self {
            seq,
            id: wire.metadata.uid,
            time: Timestamp::from_micros(own.time_us.unwrap_or(wire.time.saturating_mul(1000))),
            kind: wire.metadata.event_code,
            tenant: wire.metadata.tenant_uid,
            subject: wire.actor.user.map(|user| user.uid),
            action: wire.api.operation,
            resource,
            issuer,
            token_id,
            account: wire.cloud.account.map(|account| account.uid),
            region: wire.cloud.region,
            log_group,
            requested_key: own.requested_key,
            resolved_key: own.resolved_key,
            previous_key: own.previous_key,
            outcome: own.reconciled.or_else(|| status.clone()),
            detail: wire.status_detail,
            correlation: wire.metadata.correlation_uid,
            count: wire.count.unwrap_or(1),
            status,
            closes: own.closes,
            archived: own.archived_last.zip(own.archived_root),
            rotated: own.old_verifier.zip(own.new_verifier),
        })
    }
}
