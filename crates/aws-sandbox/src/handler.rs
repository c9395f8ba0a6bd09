//! Handles one request: parses it, authenticates the caller, records the call, applies faults, runs the
//! operation and responds.

mod body;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time;

use super::{
    Inner,
    api_error::ApiError,
    authorizer::Context,
    call_log::{self, Entry, Outcome},
    control,
    fault::{Effect, FaultPlan, RequestAttrs, ResponseMutation},
    http::ConnectionReset,
    iam,
    identity::Principal,
    kms, logs, servicequotas, sigv4,
    state::{Account, Region, Role},
    sts, tagging, validate,
    wire::{self, Answer, Body, Call, Service},
};

/// The maximum size of a body in bytes; a full batch of log events in JSON fits.
const MAX_BODY: usize = 8 << 20;

/// The caller, its account, and the Region of the call.
struct Caller {
    principal: Arc<Principal>,
    account: Arc<Account>,
    region: Arc<Region>,
    role: Option<Arc<Role>>,
}

/// What a fault does to a call, before or after the operation.
enum Disposition {
    /// The call continues.
    Run,
    /// The response is this error.
    Refuse(ApiError),
    /// The response is meaningless bytes.
    Garble,
}

/// Handles one request. A fault can reset the connection instead.
pub(super) async fn handle(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Body>, ConnectionReset> {
    let (parts, body) = request.into_parts();
    let request_id = uuid::Uuid::new_v4().to_string();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let bytes = Bytes::new();
        return Ok(wire::response("text/plain", status, bytes, &request_id));
    };
    let body = body.to_bytes();
    if let Some(path) = parts.uri.path().strip_prefix(control::PREFIX) {
        return Ok(control::answer(&inner, &parts, path, &body));
    }
    let call = match Call::read(&parts, &body) {
        Ok(call) => call,
        Err((service, refusal)) => return Ok(wire::error(service, &refusal, &request_id)),
    };
    let caller = caller(&inner, &call).and_then(|caller| {
        let session = caller.principal.session.as_ref().filter(|_| inner.verify_signatures);
        let valid = session.is_none_or(|session| sigv4::verify(&session.secret, &call, &parts, &body));
        if valid { Ok(caller) } else { Err(ApiError::bad_signature(call.service)) }
    });
    let attrs = request_attrs(&call, caller.as_ref().ok());
    let plan = inner.faults.plan(&attrs);
    let number = inner.journal.is_on().then(|| {
        let entry = journal_entry(&inner, &attrs, &call, caller.as_ref().ok());
        inner.journal.open(Entry { request_id: request_id.clone(), faults: plan.ids.clone(), ..entry })
    });
    let response = respond(&inner, &call, caller, &plan, number, &request_id).await?;
    Ok(body::shape(response, &plan))
}

async fn respond(
    inner: &Inner,
    call: &Call,
    caller: Result<Caller, ApiError>,
    plan: &FaultPlan,
    number: Option<u64>,
    request_id: &str,
) -> Result<Response<Body>, ConnectionReset> {
    delay(plan.delay_before).await;
    let result = match dispose(call.service, plan.before.as_ref()).await? {
        Disposition::Run => caller.and_then(|caller| execute(inner, call, caller, &plan.mutation)),
        Disposition::Refuse(refusal) => Err(refusal),
        Disposition::Garble => return Ok(body::malformed_body(request_id)),
    };
    if let Some(number) = number {
        let outcome = result.as_ref().map(|_answer| ());
        inner.journal.assign_outcome(number, outcome, inner.state.now());
    }
    delay(plan.delay_after).await;
    match dispose(call.service, plan.after.as_ref()).await? {
        Disposition::Run => {}
        Disposition::Refuse(refusal) => return Ok(wire::error(call.service, &refusal, request_id)),
        Disposition::Garble => return Ok(body::malformed_body(request_id)),
    }
    if let Some(number) = number {
        inner.journal.mark_answered(number);
    }
    Ok(match result {
        Ok(answer) => wire::success(call.service, &call.operation, answer, request_id),
        Err(refusal) => wire::error(call.service, &refusal, request_id),
    })
}

fn execute(
    inner: &Inner,
    call: &Call,
    caller: Caller,
    mutation: &ResponseMutation,
) -> Result<Answer, ApiError> {
    let now = inner.state.now();
    let quotas = caller.account.quotas();
    let mut buckets = caller.region.buckets();
    let allowed = buckets.take(&quotas, &call.operation, now);
    drop(buckets);
    if !allowed {
        return Err(ApiError::throttled(call.service));
    }
    let context = Context {
        state: &inner.state,
        call,
        principal: caller.principal,
        account: caller.account,
        region: caller.region,
        role: caller.role,
        now,
        mutation: mutation.clone(),
    };
    match call.service {
        Service::Logs => logs::execute(&context),
        Service::Kms => kms::execute(&context),
        Service::Sts => sts::execute(&context),
        Service::Iam => iam::execute(&context),
        Service::Tagging => tagging::execute(&context),
        Service::ServiceQuotas => servicequotas::execute(&context),
    }
}

fn caller(inner: &Inner, call: &Call) -> Result<Caller, ApiError> {
    let state = &inner.state;
    let token = call.unverified_token.as_deref();
    let (service, access_key) = (call.service, &call.unverified_access_key);
    let principal = state.credentials.find(service, access_key, token, state.now())?;
    // In a Region that the account has not enabled, AWS does not recognize its credentials.
    let unknown = || ApiError::unknown_credentials(service);
    let account = state.account(&principal.account).ok_or_else(unknown)?;
    let region =
        if call.service.is_global() { Some(account.default_region()) } else { account.region(&call.region) };
    let region = region.ok_or_else(unknown)?;
    let session = principal.session.as_ref();
    let role = session.and_then(|session| account.role(&session.role_name));
    Ok(Caller { principal, account, region, role })
}

fn request_attrs<'a>(call: &'a Call, caller: Option<&'a Caller>) -> RequestAttrs<'a> {
    let (mut account, mut role) = ("", "");
    if let Some(caller) = caller {
        account = &caller.account.id;
        role = caller.role.as_ref().map_or("", |role| &role.name);
    }
    if call.operation == "AssumeRole" {
        let arn = call.param("RoleArn").unwrap_or_default();
        (account, role) = validate::role_arn(arn).unwrap_or_default();
    }
    RequestAttrs {
        service: call.service,
        operation: &call.operation,
        account,
        region: &call.region,
        role,
        params: &call.params,
    }
}

fn journal_entry(inner: &Inner, attrs: &RequestAttrs<'_>, call: &Call, caller: Option<&Caller>) -> Entry {
    let assuming = call.operation == "AssumeRole";
    let session = caller.and_then(|caller| caller.principal.session.as_ref());
    let (name, identity) = if assuming {
        (call.param("RoleSessionName"), call.param("SourceIdentity"))
    } else {
        let identity = session.and_then(|s| s.source_identity.as_deref());
        (session.map(|s| s.name.as_str()), identity)
    };
    Entry {
        sequence: 0,
        time: inner.state.now(),
        service: call.service,
        operation: call.operation.clone(),
        account: attrs.account.to_owned(),
        region: call.region.clone(),
        caller: caller.map_or(String::new(), |caller| caller.principal.arn.clone()),
        role: (!attrs.role.is_empty()).then(|| attrs.role.to_owned()),
        session_name: name.map(str::to_owned),
        source_identity: identity.map(str::to_owned),
        external_id: assuming.then(|| call.params.contains_key("ExternalId")),
        params: call_log::truncate(&call.params),
        request_id: String::new(),
        invocation_id: call.invocation_id.clone(),
        outcome: Outcome::Received,
        decided: None,
        answered: false,
        faults: Vec::new(),
    }
}

async fn dispose(service: Service, effect: Option<&Effect>) -> Result<Disposition, ConnectionReset> {
    let Some(effect) = effect else {
        return Ok(Disposition::Run);
    };
    Ok(match effect {
        Effect::Throttle => Disposition::Refuse(ApiError::throttled(service)),
        Effect::Error { code, message, status } => {
            let message = message.as_ref().unwrap_or(code).clone();
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            Disposition::Refuse(ApiError {
                status: status.unwrap_or(StatusCode::BAD_REQUEST),
                ..ApiError::new(code.clone(), message)
            })
        }
        Effect::Hang => std::future::pending().await,
        Effect::Reset => return Err(ConnectionReset),
        Effect::Garbage => Disposition::Garble,
        Effect::Latency { .. }
        | Effect::Drip { .. }
        | Effect::Truncate
        | Effect::ExpiredCredentials
        | Effect::WrongAccount(_) => Disposition::Run,
    })
}

async fn delay(delay: Duration) {
    if !delay.is_zero() {
        time::sleep(delay).await;
    }
}
