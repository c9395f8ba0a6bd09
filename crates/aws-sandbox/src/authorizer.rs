//! Decides whether a caller may perform an action, and words the refusal as AWS does. The order is: an
//! explicit deny in any policy, the permissions boundary, the session policy, the identity policy, and for a
//! key also the key's policy.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api_error::ApiError,
    condition_keys::{Facts, IamCaller, of_key},
    fault::plan::ResponseMutation,
    identity::Principal,
    policy::evaluation::{EvalRequest, Policy, Verdict},
    service::Service,
    state::{
        account::{Account, Role},
        aws::AwsState,
        keys::Key,
        region::Region,
    },
    wire::call::Call,
};

/// One authenticated call, with everything that its operation needs.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) state: &'a AwsState,
    pub(crate) call: &'a Call,
    pub(crate) request_id: &'a str,
    pub(crate) principal: Arc<Principal>,
    /// The caller's account.
    pub(crate) account: Arc<Account>,
    /// The account's state in the Region that the call was signed for.
    pub(crate) region: Arc<Region>,
    /// The caller's role; absent for credentials from the seed, which have all permissions.
    pub(crate) role: Option<Arc<Role>>,
    pub(crate) now: Timestamp,
    /// What a fault changes in the response.
    pub(crate) mutation: ResponseMutation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DenyReason {
    Denied(&'static str),
    NotAllowed(&'static str),
}

// === impl Context ===

impl Context<'_> {
    /// Checks that the caller's own policies allow `action`. `resources` are the forms of one resource's ARN;
    /// the error shows the first.
    ///
    /// # Errors
    ///
    /// AWS's `AccessDenied`, which names the kind of policy that denied the action.
    pub(crate) fn authorize(
        &self,
        action: &str,
        resources: &[&str],
        more: &[(&str, &str)],
    ) -> Result<(), ApiError> {
        self.check_identity(action, resources, more)
            .map_err(|reason| self.access_denied(action, resources, reason))
    }

    /// Checks that the caller's own policies and the key's allow `action` with `key`.
    ///
    /// # Errors
    ///
    /// As [`Context::authorize`].
    pub(crate) fn authorize_key(
        &self,
        key: &Key,
        action: &str,
        more: &[(&str, &str)],
    ) -> Result<(), ApiError> {
        let resources = [key.arn.as_str()];
        let more = [&of_key(key, action), more].concat();
        let context = self.facts(&more);
        let by_key = key.policy.verdict(&EvalRequest {
            principal: self.principal.eval_principal(),
            action,
            resources: &resources,
            context: &context,
        });
        let identity = self.check_identity(action, &resources, &more);
        let own = key.account_id == self.account.id;
        let verdict = match (by_key, identity) {
            (_, Err(reason @ DenyReason::Denied(_))) => Err(reason),
            (Verdict::Denied, _) => Err(DenyReason::Denied("resource-based policy")),
            (Verdict::NoMatch, _) => Err(DenyReason::NotAllowed("resource-based policy")),
            (Verdict::Allows, Err(DenyReason::NotAllowed("identity-based policy"))) if own => Ok(()),
            (Verdict::Allows | Verdict::AllowsAccount, identity) => identity,
        };
        verdict.map_err(|reason| match reason {
            DenyReason::NotAllowed("resource-based policy") if !own => {
                self.cross_account_denial(action, &key.arn)
            }
            reason @ (DenyReason::Denied(_) | DenyReason::NotAllowed(_)) => {
                self.access_denied(action, &resources, reason)
            }
        })
    }

    /// AWS's error for another account's key. It is the same whether or not the key exists.
    pub(crate) fn cross_account_denial(&self, action: &str, arn: &str) -> ApiError {
        self.denied(&format!(
            "User: {} is not authorized to perform: {action} on resource: {arn} because the resource does not \
             exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly \
             denies access",
            self.principal.arn
        ))
    }

    /// The condition keys of the call: those of every call, and `more`.
    pub(crate) fn facts<'f>(&'f self, more: &[(&'f str, &'f str)]) -> Facts<'f> {
        let Principal { arn, role_arn, session, .. } = &*self.principal;
        let caller = IamCaller {
            account: &self.account.id,
            arn: role_arn.as_ref().unwrap_or(arn),
            is_session: role_arn.is_some(),
            region: &self.region.name,
        };
        let mut facts = caller.facts(more);
        if let Some(identity) = session.as_ref().and_then(|s| s.source_identity.as_deref()) {
            facts.push(("aws:SourceIdentity", identity));
        }
        facts
    }

    fn check_identity(
        &self,
        action: &str,
        resources: &[&str],
        more: &[(&str, &str)],
    ) -> Result<(), DenyReason> {
        let Some(session) = &self.principal.session else {
            return self.check_seeded_identity(action, resources, more);
        };
        let Some(role) = &self.role else {
            return Err(DenyReason::NotAllowed("identity-based policy"));
        };
        let context = self.facts(more);
        let request =
            EvalRequest { principal: self.principal.eval_principal(), action, resources, context: &context };
        let verdict = |policy: &Policy| policy.verdict(&request);
        let by_organization = role.service_control.as_ref().map(verdict);
        let by_session = session.policy.as_ref().map(verdict);
        let by_identity = verdict(&role.identity);
        if by_organization == Some(Verdict::Denied) {
            return Err(DenyReason::Denied("service control policy"));
        }
        if by_identity == Verdict::Denied {
            return Err(DenyReason::Denied("identity-based policy"));
        }
        match role.boundary.as_ref().map(verdict) {
            Some(Verdict::Denied) => return Err(DenyReason::Denied("permissions boundary")),
            Some(Verdict::NoMatch) => return Err(DenyReason::NotAllowed("permissions boundary")),
            Some(Verdict::Allows | Verdict::AllowsAccount) | None => {}
        }
        match by_session {
            Some(Verdict::Denied) => return Err(DenyReason::Denied("session policy")),
            Some(Verdict::NoMatch) => return Err(DenyReason::NotAllowed("session policy")),
            Some(Verdict::Allows | Verdict::AllowsAccount) | None => {}
        }
        if by_identity == Verdict::NoMatch {
            return Err(DenyReason::NotAllowed("identity-based policy"));
        }
        Ok(())
    }

    fn check_seeded_identity(
        &self,
        action: &str,
        resources: &[&str],
        more: &[(&str, &str)],
    ) -> Result<(), DenyReason> {
        let Some(policy) = &self.principal.identity else { return Ok(()) };
        let context = self.facts(more);
        let principal = self.principal.eval_principal();
        match policy.verdict(&EvalRequest { principal, action, resources, context: &context }) {
            Verdict::Denied => Err(DenyReason::Denied("identity-based policy")),
            Verdict::NoMatch => Err(DenyReason::NotAllowed("identity-based policy")),
            Verdict::Allows | Verdict::AllowsAccount => Ok(()),
        }
    }

    fn access_denied(&self, action: &str, resources: &[&str], reason: DenyReason) -> ApiError {
        let resource = resources.first().copied().unwrap_or("*");
        let because = match reason {
            DenyReason::Denied(kind) => {
                let article = if kind.starts_with('i') { "an" } else { "a" };
                format!("with an explicit deny in {article} {kind}")
            }
            DenyReason::NotAllowed(kind) => format!("because no {kind} allows the {action} action"),
        };
        self.denied(&format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {because}",
            self.principal.arn
        ))
    }

    fn denied(&self, text: &str) -> ApiError {
        ApiError::access_denied(self.service(), text)
    }

    fn service(&self) -> Service {
        self.call.service
    }
}
