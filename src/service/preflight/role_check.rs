//! Checks of the permissions of the account's role, which IAM simulates: before a change, and to explain a
//! refusal after one.

use std::time::Instant;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::Resource,
        audit::AwsCallRecord,
        authorization::Access,
        call::Action,
        diagnosis::{self, Check, CheckName, Kms, Lookup, RolePermission},
        onboarding,
        policy_simulation::{ASSOCIATE, DISASSOCIATE, SimulationRequest, SimulationResult},
    },
    service::{context::Context, shared::lookup, state::Dependencies},
};

/// The checks of a role that changes a resource.
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
        let key_use = SimulationRequest::key_use_for(key, self.resource);
        let change = SimulationRequest::changes(self.access.location(), &[ASSOCIATE], [self.resource]);
        let (key_use, change) =
            tokio::join!(self.simulate(cx.ports(), &key_use), self.simulate(cx.ports(), &change));
        let [key_use, change] = [key_use, change].map(|(via, found)| {
            cx.audit.record_aws_call(via);
            found
        });
        let role = &self.access.grant().role;
        let kms = Kms { role, key, resource: self.resource };
        [
            diagnosis::role_kms(kms, policy, &key_use),
            diagnosis::role_logs(role, self.resource, ASSOCIATE, &change),
        ]
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

/// Lets IAM simulate the request. Returns the call and its result.
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

/// A permission for IAM to simulate.
pub(super) struct Simulated<'a> {
    pub(super) name: CheckName,
    /// What the permission allows, worded to follow "the role may".
    pub(super) permission: &'a str,
    /// The Sid of the statement that grants it.
    pub(super) statement: &'a str,
}

/// Lets IAM simulate calls that would change something if they were tried.
pub(super) async fn check_simulated(
    cx: &mut Context,
    access: &Access,
    simulated: Simulated<'_>,
    simulation: &SimulationRequest,
) -> Check {
    let Simulated { name, permission, statement } = simulated;
    let grant = access.grant();
    let (via, found) = simulate(cx.ports(), access, simulation, cx.call.deadline).await;
    cx.audit.record_aws_call(via);
    let document = onboarding::role_statements(grant, &[statement]);
    RolePermission { role: &grant.role, simulated: &found, permission, document: &document }
        .simulation_allowed(name, simulation)
}
