//! What an audit event says, before it takes the form in which it is kept.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    arn::KmsKeyArn,
    association::{RecordedAssociation, Resource},
    call::{Action, Call, RequestId},
    history::Observation,
    idempotency::RecordedStep,
    principal::Principal,
    reason::Reason,
    tenant::TenantId,
    time::Timestamp,
};

/// The id of an event: a UUID of version 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub Uuid);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Which part of a call it records.
    pub kind: Kind,
    /// What was done, or asked for.
    pub act: AuditOperation,
    /// Ties the events of one call together.
    pub correlation: RequestId,
    /// The intent that it closes, for an outcome and a settlement.
    pub closes: Option<EventId>,
    /// Who, as far as is known.
    pub actor: Actor,
    /// What it is about.
    pub resource: Option<Resource>,
    /// The keys it is about.
    pub keys: Keys,
    /// Why, in the caller's words.
    pub reason: Option<Box<str>>,
    /// What policy said.
    pub decision: Option<DecisionRecord>,
    /// Through what AWS was called.
    pub via: AwsCallRecord,
    /// How it ended; none where it has not.
    pub end: Option<Completion>,
    /// More that is known, for people: bounded and escaped where it is kept.
    pub detail: Option<Box<str>>,
    /// What was done to the log itself.
    pub log: Option<LogEvent>,
    /// How many equal events this one stands for.
    pub count: u32,
}

/// Which part of a call an event records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A change is about to be sent to AWS.
    Intent,
    /// A change ended.
    Outcome,
    /// A change's end is settled after the fact.
    Reconciled(Settlement),
    /// Something was read.
    Read,
    /// A call was refused before anything was sent to AWS.
    Refusal,
    /// The service itself started, stopped or reloaded.
    Lifecycle,
}

/// What reading back said of a change whose outcome was unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// What was asked for is in force.
    InForce,
    /// Something else is in force.
    NotInForce,
    /// It cannot be told.
    CannotTell,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOperation {
    /// An RPC.
    Rpc(Action),
    /// The service started.
    Start,
    /// The service stopped.
    Stop,
    /// The configuration was taken over, or refused.
    Reload,
    /// Events that nobody waited for could not be kept; the count says how many.
    Lost,
    /// The oldest events were moved out to an archive.
    Archive,
    /// Another key signs checkpoints from here on.
    RotateKey,
}

/// What was done to the log itself, so that whoever checks it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// Its first events were moved out to an archive.
    Archived {
        /// The last one's place; the first one's is 1.
        last: u64,
        /// The root of the tree over them, in base64 as checkpoints have it.
        root: Box<str>,
    },
    /// Its checkpoints are signed by another key.
    Rotated {
        /// The verifier key of the key that signed until here.
        from: Box<str>,
        /// That of the key that signs from here on.
        to: Box<str>,
    },
}

/// Who, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The tenant.
    pub tenant: Option<TenantId>,
    /// The token's subject.
    pub subject: Option<Arc<str>>,
    /// The token's issuer.
    pub issuer: Option<Arc<str>>,
    /// The token's `jti`, or a hash of the token.
    pub token_id: Option<Arc<str>>,
    /// Where the call came from.
    pub source: Option<IpAddr>,
    /// What the client calls itself.
    pub unverified_user_agent: Option<Box<str>>,
}

/// The keys an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// As the caller named it.
    pub requested: Option<Box<str>>,
    /// What that was resolved to.
    pub resolved: Option<KmsKeyArn>,
    /// What was in force before, where it is known.
    pub previous: Option<KmsKeyArn>,
}

/// What policy said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// Yes or no.
    pub allowed: bool,
    /// The policies that made it so.
    pub policies: Vec<Arc<str>>,
}

/// Through what AWS was called, so that an event joins `CloudTrail`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsCallRecord {
    /// The assumed role.
    pub role_arn: Option<Box<str>>,
    /// The name of the role's session.
    pub session_name: Option<Box<str>>,
    /// AWS's ids of the calls that were made.
    pub aws_request_ids: Vec<Box<str>>,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Why it did not succeed; none is success.
    pub failure: Option<Reason>,
    /// AWS's own error code.
    pub aws_error: Option<Box<str>>,
    /// From the arrival of the call to here.
    pub latency: Duration,
}

/// An event, and what becomes true with it: both are kept, or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The event.
    pub event: Event,
    /// The association that the event's success means.
    pub association: Option<RecordedAssociation>,
    /// What was seen of the resource before the change that the event is about.
    pub observation: Option<Observation>,
    /// What becomes of the request, where it came with an id of its own.
    pub request: Option<RecordedStep>,
}

// === impl EventId ===

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

// === impl Entry ===

impl JournalEntry {
    /// An event with which nothing becomes true.
    #[must_use]
    pub fn event_only(event: Event) -> Self {
        Self { event, association: None, observation: None, request: None }
    }
}

// === impl Actor ===

impl Actor {
    /// What a call and a verified token tell.
    #[must_use]
    pub fn from_call(call: &Call, principal: Option<&Principal>) -> Self {
        Self {
            tenant: principal.map(|principal| principal.tenant.clone()),
            subject: principal.map(|principal| Arc::clone(&principal.subject)),
            issuer: principal.map(|principal| Arc::clone(&principal.issuer)),
            token_id: principal.map(|principal| Arc::clone(&principal.token_id)),
            source: call.source,
            unverified_user_agent: call.unverified_user_agent.clone(),
        }
    }
}

// === impl Event ===

impl Event {
    /// An event about a call, with nothing said yet but who and when.
    #[must_use]
    pub fn for_call(call: &Call, principal: Option<&Principal>, kind: Kind, time: Timestamp) -> Self {
        Self {
            time,
            kind,
            act: AuditOperation::Rpc(call.action),
            correlation: call.request_id.clone(),
            closes: None,
            actor: Actor::from_call(call, principal),
            resource: None,
            keys: Keys::default(),
            reason: None,
            decision: None,
            via: AwsCallRecord::default(),
            end: None,
            detail: None,
            log: None,
            count: 1,
        }
    }

    /// An event of the service itself, with nothing said yet but what and when.
    #[must_use]
    pub fn for_service(act: AuditOperation, time: Timestamp) -> Self {
        Self {
            time,
            kind: Kind::Lifecycle,
            act,
            correlation: RequestId::new_v7(),
            closes: None,
            actor: Actor::default(),
            resource: None,
            keys: Keys::default(),
            reason: None,
            decision: None,
            via: AwsCallRecord::default(),
            end: None,
            detail: None,
            log: None,
            count: 1,
        }
    }
}
