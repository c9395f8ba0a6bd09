//! The pipeline of all changes: resolve, claim the idempotency key, authorize, lock the resource, load the
//! prior state, check the precondition. Then `execution` commits the intent, sends, and commits the outcome.

use super::{
    change::{ChangeRequest, KeyChange, PreparedChange},
    changed::Changed,
    dry_run, execution,
    idempotency::{self, Admission},
    precondition, prior_state,
};
use crate::{
    domain::{
        association::{Resource, Target},
        principal::Scope,
    },
    service::{
        context::Context,
        error::Error,
        shared::{policy_facts, resolve},
    },
};

/// Makes a change, replays the response to an earlier one, or runs the dry run of one.
pub(super) async fn execute<K: KeyChange>(
    mut cx: Context,
    change: K,
    request: ChangeRequest,
) -> Result<Changed, Error> {
    let claimed = claim(&mut cx, &change, &request).await;
    let (resource, reservation) = match cx.record_error(claimed)? {
        (resource, Admission::Replay(recorded)) => return idempotency::replay(cx, &resource, &recorded),
        (resource, Admission::Proceed(reservation)) => (resource, reservation),
    };
    let prepared = prepare(&mut cx, &change, &request, &resource).await;
    let prepared = cx.record_error(prepared)?;
    if request.validate_only {
        // Boxed like the other futures that few changes need: the future of a change is moved several times.
        return Box::pin(dry_run::finish::<K>(cx, prepared)).await;
    }
    let changed = execution::run::<K>(cx, prepared, reservation).await;
    changed.map_err(|error| resolve::mask_as_not_found(error, &resource))
}

/// Resolves the resource, and claims the idempotency key if the request has one.
async fn claim<K: KeyChange>(
    cx: &mut Context,
    change: &K,
    request: &ChangeRequest,
) -> Result<(Resource, Admission), Error> {
    if let Some(key) = change.requested_key() {
        cx.audit.requested(key);
    }
    cx.audit.reason(request.reason.as_ref());
    cx.require(K::SCOPE)?;
    if request.resource.target == Target::QueryResults {
        cx.require(Scope::QueryResults)?;
    }
    let resource = resolve::resolve_resource(&*cx.tenant()?, request.resource.clone())?;
    cx.audit.resource(&resource);
    cx.call.summary.set_resource(&resource);
    let admission = idempotency::claim(cx, change, request, &resource).await?;
    Ok((resource, admission))
}

/// Authorizes the change, locks the resource, loads its prior state and checks the precondition.
async fn prepare<K: KeyChange>(
    cx: &mut Context,
    change: &K,
    request: &ChangeRequest,
    resource: &Resource,
) -> Result<PreparedChange<K::Command>, Error> {
    let command = change.command(cx, resource, request.reason.clone()).await?;
    let authorized = policy_facts::authorize_with_facts(cx, command, resource).await;
    let (authorized, guard) = authorized.map_err(|error| change.mask(error))?;
    let guard = policy_facts::lock_resource(cx, guard, resource).await?;
    let access = authorized.access();
    let requirement = K::requirement(request);
    let mut prior = prior_state::load(cx, access, resource, requirement, request.read.clone()).await?;
    if let Some(expected) = &request.expected {
        Box::pin(precondition::check(cx, access, expected, prior.key())).await?;
    }
    let new_key = K::new_key(authorized.command()).map(|(key, _)| key);
    if !request.validate_only || new_key.is_none() {
        prior.load_former_health(cx, access, new_key.as_ref()).await;
    }
    Ok(PreparedChange { resource: resource.clone(), authorized, guard, prior })
}
