//! What the account's role may do, as far as IAM simulates it: for checks before a change, and for the cause
//! of a refusal after one.

use std::time::Instant;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Resource, Target},
        audit::AwsCallRecord,
        authorization::Access,
        call::Action,
        diagnosis::{self, Check, CheckName, Kms, Lookup},
        onboarding,
        policy_simulation::{ASSOCIATE, DISASSOCIATE, SimulationRequest, SimulationResult},
        reason::Reason,
        remedy,
    },
    service::{context::Context, shared::lookup, state::Dependencies},
};

/// The checks of a role that is to change a resource.
pub(in crate::service) struct RoleCheck<'l> {
    pub(in crate::service) access: &'l Access,
    pub(in crate::service) resource: &'l Resource,
    pub(in crate::service) deadline: Instant,
}

// === impl RoleCheck ===

impl RoleCheck<'_> {
    /// Whether the role may use the key for the resource and set it.
    pub(in crate::service) async fn check_may_associate(
        &self,
        cx: &mut Context,
        key: &KmsKeyArn,
        policy: &Lookup<Box<str>>,
    ) -> [Check; 2] {
        let uses = SimulationRequest::key_use_for(key, self.resource);
        let sets = SimulationRequest::changes(self.access.location(), &[ASSOCIATE], [self.resource]);
        let (uses, sets) = tokio::join!(self.simulate(cx.ports(), &uses), self.simulate(cx.ports(), &sets));
        let [uses, sets] = [uses, sets].map(|(via, found)| {
            cx.audit.record_aws_call(via);
            found
        });
        let role = &self.access.grant().role;
        let kms = Kms { role, key, resource: self.resource };
        [diagnosis::role_kms(kms, policy, &uses), diagnosis::role_logs(role, self.resource, ASSOCIATE, &sets)]
    }

    /// The cause where AWS blames the role's use of the key: as IAM simulates it, else as AWS says it.
    pub(in crate::service) async fn check_kms_denial(&self, cx: &mut Context, key: &KmsKeyArn) -> Check {
        match self.kms(cx, key).await {
            proved if proved.reason().is_some() => proved,
            _ => {
                let detail = "the role that this service assumes may not use the key";
                Check::failed(CheckName::RoleKmsPermission, Reason::RoleLacksKmsPermission, detail, "").with_document(
                    "add this statement to the role's policy; the key's policy must let the account's own policies decide, or name the role",
                    &remedy::role_kms_statement(key, self.resource),
                )
            }
        }
    }

    /// The cause where AWS blames the role's right to change keys: as IAM simulates it, else as AWS says it.
    pub(in crate::service) async fn check_logs_denial(&self, cx: &mut Context, action: Action) -> Check {
        match self.logs(cx, action).await {
            proved if proved.reason().is_some() => proved,
            _ => {
                let what = match self.resource.target {
                    Target::LogGroup(_) => "of this log group",
                    Target::QueryResults => "of query results",
                };
                let detail = format!("the role that this service assumes may not change the key {what}");
                Check::failed(CheckName::RoleLogsPermission, Reason::RoleLacksLogsPermission, detail, "")
                    .with_document(
                        "add this statement to the role's policy",
                        &remedy::role_logs_statement(self.resource),
                    )
            }
        }
    }

    /// Whether the role may use the key for the resource.
    pub(in crate::service) async fn kms(&self, cx: &mut Context, key: &KmsKeyArn) -> Check {
        let policy = lookup::fetch_policy(cx, self.access, key, self.deadline).await;
        let (via, found) =
            self.simulate(cx.ports(), &SimulationRequest::key_use_for(key, self.resource)).await;
        cx.audit.record_aws_call(via);
        let kms = Kms { role: &self.access.grant().role, key, resource: self.resource };
        diagnosis::role_kms(kms, &policy, &found)
    }

    /// Whether the role may change the resource's key in this way.
    pub(in crate::service) async fn logs(&self, cx: &mut Context, action: Action) -> Check {
        let action = if action == Action::DisassociateKmsKey { DISASSOCIATE } else { ASSOCIATE };
        let simulation = SimulationRequest::changes(self.access.location(), &[action], [self.resource]);
        let (via, found) = self.simulate(cx.ports(), &simulation).await;
        cx.audit.record_aws_call(via);
        diagnosis::role_logs(&self.access.grant().role, self.resource, action, &found)
    }

    async fn simulate(
        &self,
        ports: &Dependencies,
        simulation: &SimulationRequest,
    ) -> (AwsCallRecord, Lookup<Vec<SimulationResult>>) {
        simulate(ports, self.access, simulation, self.deadline).await
    }
}

/// What IAM simulates, and the call that asked it.
pub(in crate::service) async fn simulate(
    ports: &Dependencies,
    access: &Access,
    simulation: &SimulationRequest,
    deadline: Instant,
) -> (AwsCallRecord, Lookup<Vec<SimulationResult>>) {
    let simulated = ports.roles.simulate(access, simulation, deadline).await;
    let found = match simulated.result {
        Ok(results) => Lookup::Found(results),
        Err(error) => Lookup::Unknown(lookup::lookup_error(&error)),
    };
    (simulated.via, found)
}

/// A permission that IAM is asked to simulate.
pub(super) struct Simulated<'a> {
    pub(super) name: CheckName,
    /// What the permission is for, to be read after "the role may".
    pub(super) what: &'a str,
    /// The Sid of the statement that grants it.
    pub(super) statement: &'a str,
}

/// Asks IAM to simulate what cannot be tried without changing something.
pub(super) async fn check_simulated(
    cx: &mut Context,
    access: &Access,
    permission: Simulated<'_>,
    simulation: &SimulationRequest,
) -> Check {
    let Simulated { name, what, statement } = permission;
    let grant = access.grant();
    let (via, found) = simulate(cx.ports(), access, simulation, cx.call.deadline).await;
    cx.audit.record_aws_call(via);
    let document = onboarding::role_statements(grant, &[statement]);
    diagnosis::simulation_allowed(name, &grant.role, simulation, &found, what, &document)
}
