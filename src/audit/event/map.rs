//! Maps an event of the domain to its OCSF form.

use std::{fmt::Display, time::Duration};

use super::{
    names,
    ocsf::{
        Account, Activity, Actor, Api, ApiActivity, Authorization, CloudProfile, Detail, Endpoint,
        HttpRequest, LogkeyFields, Metadata, NamedObject, Product, Request, Response, Sanitized, Session,
        Uid, Unmapped,
    },
    sanitize,
};
use crate::domain::{
    arn::KmsKeyArn,
    association::Target,
    audit::{AuditOperation, Completion, Event, EventId, Kind, LogEvent},
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

/// The event as an OCSF API Activity. `arn` is the ARN of the event's resource.
pub(super) fn class<'e>(event: &'e Event, id: EventId, arn: Option<&'e dyn Display>) -> ApiActivity<'e> {
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
        status_code: failure.map(Reason::as_str),
        status_detail: event.detail.as_deref().map(|text| sanitize(text, MAX_LONG)),
        duration: event.end.as_ref().map(|end| millis(end.latency)),
        count: (event.count != 1).then_some(event.count),
        metadata: metadata(event, id),
        actor: actor(event),
        api: api(event),
        src_endpoint: Endpoint {
            ip: event.actor.source,
            name: event.actor.source.is_none().then_some("unknown"),
        },
        cloud: cloud(event),
        resources: resources(event, arn),
        http_request: event
            .actor
            .unverified_user_agent
            .as_deref()
            .map(|agent| HttpRequest { user_agent: sanitize(agent, MAX_SHORT) }),
        unmapped: Unmapped { logkey: logkey_fields(event) },
    }
}

fn activity_name(activity: Activity, act: AuditOperation) -> &'static str {
    match activity {
        Activity::Unknown => "Unknown",
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
        Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle if failed => (2, "Low"),
        Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle => (1, "Informational"),
    }
}

fn metadata(event: &Event, id: EventId) -> Metadata<'_> {
    Metadata {
        version: "1.8.0",
        uid: Sanitized(id.0.hyphenated()),
        tenant_uid: event.actor.tenant.as_ref().map(TenantId::as_str),
        correlation_uid: event.correlation.as_str(),
        event_code: names::kind(event.kind),
        profiles: ["cloud"],
        product: Product { name: "logkey", version: env!("CARGO_PKG_VERSION") },
    }
}

fn actor(event: &Event) -> Actor<'_> {
    let principal = &event.actor;
    let user = principal.subject.as_deref().map(|subject| Uid { uid: sanitize(subject, MAX_SHORT) });
    let session = Session {
        uid: principal.token_id.as_deref().map(|id| sanitize(id, MAX_SHORT)),
        issuer: principal.issuer.as_deref().map(|issuer| sanitize(issuer, MAX_LONG)),
    };
    let has_session = session.uid.is_some() || session.issuer.is_some();
    let app_name = if event.kind == Kind::Lifecycle { "logkey" } else { "unauthenticated" };
    Actor {
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
            policy: Some(Uid { uid: sanitize(policy, MAX_POLICY_NAME) }),
        })
        .collect()
}

fn api(event: &Event) -> Api<'_> {
    Api {
        operation: names::operation_name(event.act),
        service: NamedObject { name: SERVICE },
        request: Request { uid: event.correlation.as_str() },
        response: event.end.as_ref().map(|end| Response {
            code: names::grpc_number(end.failure.map_or("OK", Reason::code_name)),
            error: end.aws_error.as_deref().map(|code| sanitize(code, MAX_SHORT)),
        }),
    }
}

fn cloud(event: &Event) -> CloudProfile<'_> {
    let location = event.resource.as_ref().map(|resource| &resource.location);
    CloudProfile {
        provider: "AWS",
        account: location.map(|location| Account {
            uid: location.account.as_str(),
            type_id: AWS_ACCOUNT,
            r#type: "AWS Account",
        }),
        region: location.map(|location| location.region.as_str()),
        cloud_partition: location.map(|location| Partition::of(&location.region).as_str()),
    }
}

fn resources<'e>(event: &'e Event, arn: Option<&'e dyn Display>) -> Vec<Detail<'e>> {
    let target = event.resource.as_ref().map(|resource| &resource.target);
    let about = arn.zip(target).map(|(arn, target)| match target {
        Target::LogGroup(name) => {
            Detail { uid: Sanitized(arn), name: Some(name.as_str()), r#type: "AWS::Logs::LogGroup" }
        }
        Target::QueryResults => Detail { uid: Sanitized(arn), name: None, r#type: "AWS::Logs::QueryResult" },
    });
    let key = event.keys.resolved.as_ref();
    let key = key.map(|key| Detail { uid: Sanitized(key), name: None, r#type: "AWS::KMS::Key" });
    about.into_iter().chain(key).collect()
}

fn logkey_fields(event: &Event) -> LogkeyFields<'_> {
    let via = &event.via;
    let (archived, rotated) = match &event.log {
        Some(LogEvent::Archived { last, root }) => (Some((*last, &**root)), None),
        Some(LogEvent::Rotated { from, to }) => (None, Some((&**from, &**to))),
        None => (None, None),
    };
    LogkeyFields {
        time_us: event.time.as_micros(),
        closes: event.closes.map(|intent| Sanitized(intent.0.hyphenated())),
        grpc_code: event.end.as_ref().map(|end| end.failure.map_or("OK", Reason::code_name)),
        reconciled: match event.kind {
            Kind::Reconciled(settlement) => Some(names::settlement(settlement)),
            Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle => None,
        },
        reason: event.reason.as_deref().map(|text| sanitize(text, MAX_SHORT)),
        requested_key: event.keys.requested.as_deref().map(|text| sanitize(text, MAX_SHORT)),
        resolved_key: event.keys.resolved.as_ref().map(KmsKeyArn::as_str),
        previous_key: event.keys.previous.as_ref().map(KmsKeyArn::as_str),
        role_arn: via.role_arn.as_deref().map(|text| sanitize(text, MAX_LONG)),
        session_name: via.session_name.as_deref().map(|text| sanitize(text, MAX_SHORT)),
        aws_request_ids: via
            .aws_request_ids
            .iter()
            .take(MAX_LIST)
            .map(|id| sanitize(id, MAX_AWS_ID))
            .collect(),
        archived_last: archived.map(|(last, _)| last),
        archived_root: archived.map(|(_, root)| root),
        old_verifier: rotated.map(|(from, _)| from),
        new_verifier: rotated.map(|(_, to)| to),
        latency_us: event.end.as_ref().map(|end| u64::try_from(end.latency.as_micros()).unwrap_or(u64::MAX)),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
