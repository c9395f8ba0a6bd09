//! Who calls: the principal, its account and Region, what faults select by, and the call's entry in the journal.

use std::sync::Arc;

use crate::{
    api_error::ApiError,
    call_log::{self, Entry, Outcome},
    fault::spec::RequestAttrs,
    identity::Principal,
    instance::Instance,
    state::{
        account::{Account, Role},
        region::Region,
    },
    validate,
    wire::call::Call,
};

/// The caller, its account, and the Region of the call.
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    pub(super) account: Arc<Account>,
    pub(super) region: Arc<Region>,
    pub(super) role: Option<Arc<Role>>,
}

/// Finds the caller by the access key and the token. The signature is not verified yet.
pub(super) fn identify(instance: &Instance, call: &Call) -> Result<Caller, ApiError> {
    let state = &instance.state;
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

/// What faults select by: for `AssumeRole`, the assumed role and its account.
pub(super) fn request_attrs<'a>(call: &'a Call, caller: Option<&'a Caller>) -> RequestAttrs<'a> {
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

/// The journal entry of a call that has no outcome yet.
pub(super) fn journal_entry(
    instance: &Instance,
    attrs: &RequestAttrs<'_>,
    call: &Call,
    caller: Option<&Caller>,
) -> Entry {
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
        time: instance.state.now(),
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
        traceparent: call.traceparent.clone(),
        outcome: Outcome::Received,
        decided: None,
        answered: false,
        faults: Vec::new(),
    }
}
