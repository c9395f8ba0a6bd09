//! Handles one request: parses it, authenticates the caller, records the call, applies faults, runs the
//! operation and responds.

mod body;
mod caller;
mod disposition;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use self::{
    caller::{Caller, identify, journal_entry, request_attrs},
    disposition::{Disposition, delay, dispose},
};
use crate::{
    api_error::ApiError,
    authorizer::Context,
    call_log::Entry,
    control,
    fault::plan::FaultPlan,
    iam,
    instance::Instance,
    kms, logs,
    service::Service,
    servicequotas, sigv4, sqs, sts, tagging,
    wire::{
        answer::{self, Answer},
        body::{Body, ConnectionReset},
        call::Call,
    },
};

/// The maximum size of a body in bytes; a full batch of log events in JSON fits.
const MAX_BODY: usize = 8 << 20;

/// A parsed call, with the faults that affect it and its number in the journal.
struct ParsedCall {
    call: Call,
    plan: FaultPlan,
    /// Absent if the journal is off.
    number: Option<u64>,
    request_id: String,
}

/// Handles one request. A fault can reset the connection instead.
pub(crate) async fn handle(
    instance: Arc<Instance>,
    request: Request<Incoming>,
) -> Result<Response<Body>, ConnectionReset> {
    let (parts, body) = request.into_parts();
    let request_id = uuid::Uuid::new_v4().to_string();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let bytes = Bytes::new();
        return Ok(answer::response("text/plain", status, bytes, &request_id));
    };
    let body = body.to_bytes();
    if let Some(path) = parts.uri.path().strip_prefix(control::PREFIX) {
        return Ok(control::answer(&instance, &parts, path, &body));
    }
    let call = match Call::read(&parts, &body) {
        Ok(call) => call,
        Err((service, refusal)) => return Ok(answer::error(service, &refusal, &request_id)),
    };
    let caller = identify(&instance, &call).and_then(|caller| {
        let session = caller.principal.session.as_ref().filter(|_| instance.verify_signatures);
        let valid = session.is_none_or(|session| sigv4::verify(&session.secret, &call, &parts, &body));
        if valid { Ok(caller) } else { Err(ApiError::bad_signature(call.service)) }
    });
    let attrs = request_attrs(&call, caller.as_ref().ok());
    let plan = instance.faults.plan(&attrs);
    let number = instance.journal.is_on().then(|| {
        let entry = journal_entry(&instance, &attrs, &call, caller.as_ref().ok());
        instance.journal.open(Entry { request_id: request_id.clone(), faults: plan.ids.clone(), ..entry })
    });
    let parsed = ParsedCall { call, plan, number, request_id };
    let response = respond(&instance, &parsed, caller).await?;
    Ok(body::shape(response, &parsed.plan))
}

async fn respond(
    instance: &Instance,
    parsed: &ParsedCall,
    caller: Result<Caller, ApiError>,
) -> Result<Response<Body>, ConnectionReset> {
    let ParsedCall { call, plan, number, request_id } = parsed;
    delay(plan.delay_before).await;
    let result = match dispose(call.service, plan.before.as_ref()).await? {
        Disposition::Run => match caller {
            Ok(caller) => execute(instance, parsed, caller).await,
            Err(refusal) => Err(refusal),
        },
        Disposition::Refuse(refusal) => Err(refusal),
        Disposition::Garble => return Ok(body::malformed_body(request_id)),
    };
    if let Some(number) = *number {
        let outcome = result.as_ref().map(|_answer| ());
        instance.journal.assign_outcome(number, outcome, instance.state.now());
    }
    delay(plan.delay_after).await;
    match dispose(call.service, plan.after.as_ref()).await? {
        Disposition::Run => {}
        Disposition::Refuse(refusal) => return Ok(answer::error(call.service, &refusal, request_id)),
        Disposition::Garble => return Ok(body::malformed_body(request_id)),
    }
    if let Some(number) = *number {
        instance.journal.mark_answered(number);
    }
    Ok(match result {
        Ok(answer) => answer::success(call.service, &call.operation, answer, request_id),
        Err(refusal) => answer::error(call.service, &refusal, request_id),
    })
}

async fn execute(instance: &Instance, parsed: &ParsedCall, caller: Caller) -> Result<Answer, ApiError> {
    let ParsedCall { call, plan, request_id, .. } = parsed;
    let now = instance.state.now();
    let allowed = caller.region.buckets().take(&caller.account.quotas(), &call.operation, now);
    if !allowed {
        return Err(ApiError::throttled(call.service));
    }
    let context = Context {
        state: &instance.state,
        call,
        request_id,
        principal: caller.principal,
        account: caller.account,
        region: caller.region,
        role: caller.role,
        now,
        mutation: plan.mutation.clone(),
    };
    match call.service {
        Service::Logs => logs::execute(&context),
        Service::Kms => kms::execute(&context),
        Service::Sts => sts::execute(&context),
        Service::Iam => iam::execute(&context),
        Service::Tagging => tagging::execute(&context),
        Service::ServiceQuotas => servicequotas::execute(&context),
        Service::Sqs => sqs::execute(&context).await,
    }
}
