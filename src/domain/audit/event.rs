//! The content of an audit event, before it is encoded as OCSF.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{finding::FindingRecord, id::EventId};
use crate::domain::{
    arn::KmsKeyArn,
    association::Resource,
    call::{Action, Call, RequestId, TraceId},
    fleet::job_id::JobId,
    principal::{Delegation, Principal},
    reason::Reason,
    tenant::TenantId,
    time::Timestamp,
};

/// One recorded occurrence: a step of a call, or a change of the service itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The time of the event.
    pub time: Timestamp,
    /// Which part of a call it records.
    pub kind: Kind,
    /// The operation, done or requested.
    pub act: AuditOperation,
    /// The request id, which all events of one call share.
    pub correlation: RequestId,
    /// The intent that an outcome or a reconciliation closes.
    pub closes: Option<EventId>,
    /// The caller, as far as it is known.
    pub actor: Actor,
    /// The resource of the operation.
    pub resource: Option<Resource>,
    /// The keys of the operation.
    pub keys: Keys,
    /// The reason that the caller gave.
    pub reason: Option<Box<str>>,
    /// The policy decision.
    pub decision: Option<DecisionRecord>,
    /// The role, the session and the request ids of the calls to AWS.
    pub via: AwsCallRecord,
    /// How the operation ended. `None` if it has not ended.
    pub end: Option<Completion>,
    /// More information for people. The encoder bounds and escapes it.
    pub detail: Option<Box<str>>,
    /// The bulk job that the operation belongs to.
    pub job: Option<JobId>,
    /// The trace of the call, if its caller has one.
    pub trace: Option<TraceId>,
    /// The change of the audit log itself, if the event records one.
    pub log: Option<LogEvent>,
    /// The finding, if the event records one.
    pub finding: Option<Box<FindingRecord>>,
    /// How many refusals of the same kind, or sampled reads of the same subject and RPC, this one represents.
    pub count: u32,
}

/// Which part of a call an event records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A change is about to be sent to AWS.
    Intent,
    /// A change ended.
    Outcome,
    /// The end of a change was determined by reconciliation.
    Reconciled(ReconciliationResult),
    /// A call read data.
    Read,
    /// A call was refused before anything was sent to AWS.
    Refusal,
    /// The service itself started, stopped or reloaded.
    Lifecycle,
    /// A finding of coverage is new, has changed or no longer exists.
    Finding,
}

/// The result of reconciling a change whose outcome was unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconciliationResult {
    /// The requested state is set.
    Effective,
    /// Another state is set.
    NotEffective,
    /// The state cannot be determined.
    Indeterminate,
}

/// The operation that an event records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditOperation {
    /// A caller's RPC.
    Rpc(Action),
    /// The service started.
    Start,
    /// The service stopped.
    Stop,
    /// A reload replaced the configuration, or rejected the new one.
    Reload,
    /// Events that no call waited for could not be stored. The event's count is their number.
    Lost,
    /// The oldest events were moved to an archive.
    Archive,
    /// The key that signs checkpoints was replaced.
    RotateKey,
    /// A new log begins, because the signing key of the former one was lost.
    RestartLog,
    /// An evaluation of the encryption rules changed a finding.
    Finding,
}

/// A change of the audit log itself, which a verifier has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// The first events of the log were moved to an archive.
    Archived {
        /// The sequence number of the last archived event. The first event of the log has number 1.
        last: u64,
        /// The root hash of the tree over the archived events, in base64 as in a checkpoint.
        root: Box<str>,
        /// The statement of this, signed by the log's key.
        proof: Box<str>,
    },
    /// Another key signs the checkpoints from here on.
    Rotated {
        /// The verifier key of the former signing key.
        from: Box<str>,
        /// The verifier key of the new signing key.
        to: Box<str>,
        /// The statement of this, signed by both keys.
        proof: Box<str>,
    },
    /// This log is the successor of another one, whose signing key was lost.
    Restarted {
        /// How many events the newest checkpoint of the former log covers.
        size: u64,
        /// The root hash of that checkpoint, in base64.
        root: Box<str>,
        /// The statement of this, signed by the key of this log.
        proof: Box<str>,
    },
}

/// The caller of an event, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The tenant that the token belongs to.
    pub tenant: Option<TenantId>,
    /// The token's subject.
    pub subject: Option<Arc<str>>,
    /// The token's issuer.
    pub issuer: Option<Arc<str>>,
    /// The token's `jti`, or a hash of the token.
    pub token_id: Option<Arc<str>>,
    /// The person for whom a program calls, and the program.
    pub delegation: Option<Delegation>,
    /// The network address that the call came from.
    pub source: Option<IpAddr>,
    /// The client's `user-agent`.
    pub unverified_user_agent: Option<Box<str>>,
}

/// The keys of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The key as the caller named it.
    pub requested: Option<Box<str>>,
    /// The ARN that the service resolved it to.
    pub resolved: Option<KmsKeyArn>,
    /// The key before the change, if it is known.
    pub previous: Option<KmsKeyArn>,
}

/// The policy decision in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// Whether policy allowed the operation.
    pub allowed: bool,
    /// The ids of the policies that determined the decision.
    pub policies: Vec<Arc<str>>,
}

/// The role, the session and the request ids of calls to AWS, which connect an event to `CloudTrail`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsCallRecord {
    /// The assumed role.
    pub role_arn: Option<Box<str>>,
    /// The name of the role's session.
    pub session_name: Option<Box<str>>,
    /// The request ids that AWS returned.
    pub aws_request_ids: Vec<Box<str>>,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Why the operation failed. `None` is success.
    pub failure: Option<Reason>,
    /// The error code that AWS returned.
    pub aws_error: Option<Box<str>>,
    /// The time since the call arrived.
    pub latency: Duration,
}

// === impl Actor ===

impl Actor {
    /// The actor of a call. Without a principal only the address and the user agent are known.
    #[must_use]
    pub fn from_call(call: &Call, principal: Option<&Principal>) -> Self {
        Self {
            tenant: principal.map(|principal| principal.tenant.clone()),
            subject: principal.map(|principal| Arc::clone(&principal.subject)),
            issuer: principal.map(|principal| Arc::clone(&principal.issuer)),
            token_id: principal.map(|principal| Arc::clone(&principal.token_id)),
            delegation: principal.and_then(|principal| principal.delegation.clone()),
            source: call.source,
            unverified_user_agent: call.unverified_user_agent.clone(),
        }
    }
}

// === impl Event ===

impl Event {
    /// An event about a call. Every field without a parameter is empty, and the count is 1.
    #[must_use]
    pub fn for_call(call: &Call, principal: Option<&Principal>, kind: Kind, time: Timestamp) -> Self {
        let event = Self::empty(kind, AuditOperation::Rpc(call.action), call.request_id.clone(), time);
        Self { actor: Actor::from_call(call, principal), trace: call.summary.trace(), ..event }
    }

    /// A lifecycle event of the service itself, with a new request id. Every other field is empty.
    #[must_use]
    pub fn for_service(act: AuditOperation, time: Timestamp) -> Self {
        Self::empty(Kind::Lifecycle, act, RequestId::new_v7(), time)
    }

    fn empty(kind: Kind, act: AuditOperation, correlation: RequestId, time: Timestamp) -> Self {
        Self {
            time,
            kind,
            act,
            correlation,
            closes: None,
            actor: Actor::default(),
            resource: None,
            keys: Keys::default(),
            reason: None,
            decision: None,
            via: AwsCallRecord::default(),
            end: None,
            detail: None,
            job: None,
            trace: None,
            log: None,
            finding: None,
            count: 1,
        }
    }
}
