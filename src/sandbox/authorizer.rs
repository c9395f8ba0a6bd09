//! Whether a caller may do a thing, and AWS's words when not: an explicit deny anywhere, then the
//! session's policy, then the identity's; for a key also the key's own policy.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    api_error::ApiError,
    fault::ResponseMutation,
    identity::Principal,
    policy::{EvalRequest, Policy, Verdict},
    state::{Account, AwsState, Region, Role, keys::Key},
    wire::{Call, Service},
};

/// One authenticated call, with all that its operation may need.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) state: &'a AwsState,
    pub(crate) call: &'a Call,
    pub(crate) principal: Arc<Principal>,
    /// The caller's account.
    pub(crate) account: Arc<Account>,
    /// That account's side of the Region that the call was signed for.
    pub(crate) region: Arc<Region>,
    /// The caller's role; absent for credentials of the seed, which may do everything.
    pub(crate) role: Option<Arc<Role>>,
    pub(crate) now: Timestamp,
    /// What a fault bends in the answer.
    pub(crate) mutation: ResponseMutation,
}

/// Condition keys and their values.
pub(crate) type Facts<'a> = Vec<(&'a str, &'a str)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DenyReason {
    Denied(&'static str),
    NotAllowed(&'static str),
}

// === impl Context ===

impl Context<'_> {
    /// Whether the caller's own policies allow `action`. `resources` are the spellings of one
    /// resource, of which the first is shown.
    ///
    /// # Errors
    ///
    /// AWS's `AccessDenied`, with the kind of policy that was in the way.
    pub(crate) fn is_allowed(
        &self,
        action: &str,
        resources: &[&str],
        more: &[(&str, &str)],
    ) -> Result<(), ApiError> {
        self.identity(action, resources, more).map_err(|reason| self.access_denied(action, resources, reason))
    }

    /// Whether the caller may do `action` with `key`, by its own policies and the key's.
    ///
    /// # Errors
    ///
    /// As [`Context::may`].
    pub(crate) fn key_usable(&self, key: &Key, action: &str, more: &[(&str, &str)]) -> Result<(), ApiError> {
        let resources = [key.arn.as_str()];
        let mut context = self.facts();
        context.extend(more);
        let by_key = key.policy.verdict(&EvalRequest {
            principal: self.principal.principal_arn(),
            action,
            resources: &resources,
            context: &context,
        });
        let identity = self.identity(action, &resources, more);
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

    /// What AWS says of another account's key, whether there is one or not.
    pub(crate) fn cross_account_denial(&self, action: &str, arn: &str) -> ApiError {
        self.denied(&format!(
            "User: {} is not authorized to perform: {action} on resource: {arn} because the resource does not \
             exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly \
             denies access",
            self.principal.arn
        ))
    }

    /// The condition keys that every call has.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let mut facts = vec![
            ("aws:PrincipalAccount", self.account.id.as_str()),
            ("aws:RequestedRegion", self.region.name.as_str()),
            ("kms:CallerAccount", self.account.id.as_str()),
        ];
        let session = self.principal.session.as_ref();
        let arn = self.principal.role_arn.as_ref();
        facts.push(("aws:PrincipalArn", arn.unwrap_or(&self.principal.arn)));
        if let Some(identity) = session.and_then(|s| s.source_identity.as_deref()) {
            facts.push(("aws:SourceIdentity", identity));
        }
        facts
    }

    fn identity(&self, action: &str, resources: &[&str], more: &[(&str, &str)]) -> Result<(), DenyReason> {
        let Some(session) = &self.principal.session else {
            return Ok(());
        };
        let Some(role) = &self.role else {
            return Err(DenyReason::NotAllowed("identity-based policy"));
        };
        let mut context = self.facts();
        context.extend(more);
        let request =
            EvalRequest { principal: self.principal.principal_arn(), action, resources, context: &context };
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
