//! Maps an event of the domain to its OCSF form.

use std::{borrow::Cow, time::Duration};

use super::{
    names::{self, Activity},
    sanitize::sanitize,
};
use crate::domain::{
    arn::KmsKeyArn,
    association::{LogGroupName, Target},
    audit::{
        AuditOperation, Completion, Event, Kind, LogEvent,
        schema::{
            Account, Actor, Api, ApiActivity, Authorization, CloudProfile, Detail, Endpoint, HttpRequest,
            KEY_RESOURCE, LogkeyFields, Metadata, NamedObject, Product, Request, Response, Session, Text,
            Uid, Unmapped,
        },
    },
    aws::Partition,
    reason::Reason,
    tenant::TenantId,
};

/// The longest name, id or user agent, in characters.
const MAX_SHORT: usize = 512;
/// The longest request id of AWS, in characters. AWS's ids have 36.
const MAX_AWS_ID: usize = 128;
/// The longest name of a policy, in characters.
const MAX_POLICY_NAME: usize = 256;
/// The longest message or ARN, in characters.
const MAX_LONG: usize = 2048;
/// The largest number of entries in a list.
const MAX_LIST: usize = 16;
/// `class_uid` of API Activity.
const CLASS: u32 = 6003;
/// `account.type_id` of an AWS account.
const AWS_ACCOUNT: u8 = 10;
/// `api.service.name`: the package of the gRPC services.
const SERVICE: &str = "keyassociation.v1";

/// The texts of an event that it holds in another form.
pub(super) struct Texts<'e> {
    pub(super) id: &'e str,
    /// The intent that the event closes.
    pub(super) closes: Option<&'e str>,
    /// The ARN of the event's resource.
    pub(super) arn: Option<&'e str>,
}

/// The event as an OCSF API Activity.
pub(super) fn class<'e>(event: &'e Event, texts: &Texts<'e>) -> ApiActivity<'e> {
    let activity = names::activity(event.act);
    let (activity_id, activity_name) = (activity as u8, activity_name(activity, event.act));
    let (status_id, status) = status(event);
    let (severity_id, severity) = severity(event);
    let failure = event.end.as_ref().and_then(|end| end.failure);
    ApiActivity {
        time: event.time.as_millis(),
        class_uid: CLASS,
        class_name: "API Activity",
        category_uid: 6,
        category_name: "Application Activity",
        activity_id,
        activity_name,
        type_uid: CLASS * 100 + u32::from(activity_id),
        severity_id,
        severity,
        status_id,
        status,
        status_code: failure.map(|reason| reason.as_str().into()),
        status_detail: event.detail.as_deref().map(|text| bounded(text, MAX_LONG)),
        duration: event.end.as_ref().map(|end| millis(end.latency)),
        count: (event.count != 1).then_some(event.count),
        metadata: metadata(event, texts.id),
        actor: actor(event),
        api: api(event),
        src_endpoint: Endpoint {
            ip: event.actor.source,
            name: event.actor.source.is_none().then_some("unknown"),
        },
        cloud: cloud(event),
        resources: resources(event, texts.arn),
        http_request: event
            .actor
            .unverified_user_agent
            .as_deref()
            .map(|agent| HttpRequest { user_agent: bounded(agent, MAX_SHORT) }),
        unmapped: Unmapped { logkey: logkey_fields(event, texts.closes) },
    }
}

fn activity_name(activity: Activity, act: AuditOperation) -> &'static str {
    match activity {
        Activity::Unknown => "Unknown",
        Activity::Create => "Create",
        Activity::Read => "Read",
        Activity::Update => "Update",
        Activity::Delete => "Delete",
        Activity::Other => names::operation_name(act),
    }
}

fn status(event: &Event) -> (u8, &'static str) {
    match &event.end {
        None => (0, "Unknown"),
        Some(Completion { failure: None, .. }) => (1, "Success"),
        Some(Completion { failure: Some(_), .. }) => (2, "Failure"),
    }
}

fn severity(event: &Event) -> (u8, &'static str) {
    let failed = event.end.as_ref().is_some_and(|end| end.failure.is_some());
    match event.kind {
        _ if event.act == AuditOperation::Lost => (4, "High"),
        Kind::Reconciled(_) => (3, "Medium"),
        Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle | Kind::Finding
            if failed =>
        {
            (2, "Low")
        }
        Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle | Kind::Finding => {
            (1, "Informational")
        }
    }
}

pub(super) fn metadata<'e>(event: &'e Event, id: &'e str) -> Metadata<'e> {
    Metadata {
        version: "1.8.0",
        uid: id.into(),
        tenant_uid: event.actor.tenant.as_ref().map(TenantId::as_str).map(Text::from),
        correlation_uid: event.correlation.as_str().into(),
        event_code: names::kind(event.kind).into(),
        profiles: ["cloud"],
        product: Product { name: "logkey", version: env!("CARGO_PKG_VERSION") },
    }
}

fn actor(event: &Event) -> Actor<'_> {
    let principal = &event.actor;
    let user = principal.subject.as_deref().map(|subject| Uid { uid: bounded(subject, MAX_SHORT) });
    let session = Session {
        uid: principal.token_id.as_deref().map(|id| bounded(id, MAX_SHORT)),
        issuer: principal.issuer.as_deref().map(|issuer| bounded(issuer, MAX_LONG)),
    };
    let has_session = session.uid.is_some() || session.issuer.is_some();
    let app_name = if event.kind == Kind::Lifecycle { "logkey" } else { "unauthenticated" };
    Actor {
        app_uid: principal.delegation.as_ref().map(|delegation| bounded(&delegation.actor, MAX_SHORT)),
        app_name: (user.is_none() && !has_session).then_some(app_name),
        user,
        session: has_session.then_some(session),
        authorizations: authorizations(event),
    }
}

fn authorizations(event: &Event) -> Vec<Authorization<'_>> {
    let Some(decision) = &event.decision else { return Vec::new() };
    let decision_name = if decision.allowed { "Allowed" } else { "Denied" };
    if decision.policies.is_empty() {
        return vec![Authorization { decision: decision_name, policy: None }];
    }
    decision
        .policies
        .iter()
        .take(MAX_LIST)
        .map(|policy| Authorization {
            decision: decision_name,
            policy: Some(Uid { uid: bounded(policy, MAX_POLICY_NAME) }),
        })
        .collect()
}

pub(super) fn api(event: &Event) -> Api<'_> {
    Api {
        operation: names::operation_name(event.act).into(),
        service: NamedObject { name: SERVICE },
        request: Request { uid: event.correlation.as_str() },
        response: event.end.as_ref().map(|end| Response {
            code: names::grpc_number(end.failure.map_or("OK", Reason::code_name)),
            error: end.aws_error.as_deref().map(|code| bounded(code, MAX_SHORT)),
        }),
    }
}

pub(super) fn cloud(event: &Event) -> CloudProfile<'_> {
    let location = event.resource.as_ref().map(|resource| &resource.location);
    CloudProfile {
        provider: "AWS",
        account: location.map(|location| Account {
            uid: location.account.as_str().into(),
            type_id: AWS_ACCOUNT,
            r#type: "AWS Account",
        }),
        region: location.map(|location| location.region.as_str().into()),
        cloud_partition: location.map(|location| Partition::of(&location.region).as_str()),
    }
}

pub(super) fn resources<'e>(event: &'e Event, arn: Option<&'e str>) -> Vec<Detail<'e>> {
    let target = event.resource.as_ref().map(|resource| &resource.target);
    let about = arn.zip(target).map(|(arn, target)| match target {
        Target::LogGroup(name) => detail(arn, Some(name), "AWS::Logs::LogGroup"),
        Target::QueryResults => detail(arn, None, "AWS::Logs::QueryResult"),
    });
    let key = event.keys.resolved.as_ref().map(|key| detail(key.as_str(), None, KEY_RESOURCE));
    about.into_iter().chain(key).collect()
}

fn detail<'e>(uid: &'e str, name: Option<&'e LogGroupName>, kind: &'static str) -> Detail<'e> {
    Detail { uid: uid.into(), name: name.map(|name| name.as_str().into()), r#type: kind.into() }
}

pub(super) fn logkey_fields<'e>(event: &'e Event, closes: Option<&'e str>) -> LogkeyFields<'e> {
    let via = &event.via;
    let (mut archived, mut rotated, mut restarted, mut proof) = (None, None, None, None);
    match &event.log {
        Some(LogEvent::Archived { last, root, proof: signed }) => {
            (archived, proof) = (Some((*last, &**root)), Some(signed));
        }
        Some(LogEvent::Rotated { from, to, proof: signed }) => {
            (rotated, proof) = (Some((&**from, &**to)), Some(signed));
        }
        Some(LogEvent::Restarted { size, root, proof: signed }) => {
            (restarted, proof) = (Some((*size, &**root)), Some(signed));
        }
        None => {}
    }
    LogkeyFields {
        time_us: Some(event.time.as_micros()),
        closes: closes.map(Text::from),
        grpc_code: event.end.as_ref().map(|end| end.failure.map_or("OK", Reason::code_name)),
        reconciled: match event.kind {
            Kind::Reconciled(settlement) => Some(names::settlement(settlement).into()),
            Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle | Kind::Finding => {
                None
            }
        },
        reason: event.reason.as_deref().map(|text| bounded(text, MAX_SHORT)),
        on_behalf_of: event
            .actor
            .delegation
            .as_ref()
            .map(|delegation| bounded(&delegation.on_behalf_of, MAX_SHORT)),
        requested_key: event.keys.requested.as_deref().map(|text| bounded(text, MAX_SHORT)),
        resolved_key: event.keys.resolved.as_ref().map(key_text),
        previous_key: event.keys.previous.as_ref().map(key_text),
        role_arn: via.role_arn.as_deref().map(|text| bounded(text, MAX_LONG)),
        session_name: via.session_name.as_deref().map(|text| bounded(text, MAX_SHORT)),
        aws_request_ids: via
            .aws_request_ids
            .iter()
            .take(MAX_LIST)
            .map(|id| bounded(id, MAX_AWS_ID))
            .collect(),
        job: event.job.map(|job| Cow::<str>::Owned(job.to_string()).into()),
        trace_id: event.trace.map(|trace| Cow::<str>::Owned(trace.to_string()).into()),
        archived_last: archived.map(|(last, _)| last),
        archived_root: archived.map(|(_, root)| root.into()),
        old_verifier: rotated.map(|(from, _)| from.into()),
        new_verifier: rotated.map(|(_, to)| to.into()),
        old_size: restarted.map(|(size, _)| size),
        old_root: restarted.map(|(_, root)| root.into()),
        proof: proof.map(|proof| (&**proof).into()),
        latency_us: event.end.as_ref().map(|end| u64::try_from(end.latency.as_micros()).unwrap_or(u64::MAX)),
    }
}

/// The text from outside, made safe and cut to `max` characters.
fn bounded(text: &str, max: usize) -> Text<'_> {
    sanitize(text, max).into()
}

fn key_text(key: &KmsKeyArn) -> Text<'_> {
    key.as_str().into()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
