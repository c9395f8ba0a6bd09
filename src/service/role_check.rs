//! What the account's role may do, as far as IAM tells: for checks before a change, and for the cause of
//! a refusal after one.

use std::time::Instant;

use super::{Dependencies, audit_context::AuditContext, explain};
use crate::domain::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    audit::AwsCallRecord,
    authorization::Access,
    call::Action,
    diagnosis::{self, Check, CheckName, Kms, Lookup},
    policy_simulation::{ASSOCIATE, DISASSOCIATE, SimulationRequest, SimulationResult},
    reason::Reason,
    remedy,
};

/// One look at a role that is to do something with a resource.
pub(super) struct RoleCheck<'l> {
    pub(super) ports: &'l Dependencies,
    pub(super) access: &'l Access,
    pub(super) resource: &'l Resource,
    pub(super) deadline: Instant,
}

// === impl RoleLook ===

impl RoleCheck<'_> {
    /// Whether the role may use the key for the resource and set it.
    pub(super) async fn check_may_associate(
        &self,
        key: &KmsKeyArn,
        policy: &Lookup<Box<str>>,
        audit: &mut AuditContext,
    ) -> [Check; 2] {
        let uses = SimulationRequest::key_use_for(key, self.resource);
        let sets = SimulationRequest::changes(self.access.location(), &[ASSOCIATE], [self.resource]);
        let (uses, sets) = tokio::join!(self.simulate(&uses), self.simulate(&sets));
        let [uses, sets] = [uses, sets].map(|(via, look)| {
            audit.record_aws_call(via);
            look
        });
        let role = &self.access.grant().role;
        let kms = Kms { role, key, resource: self.resource };
        [diagnosis::role_kms(kms, policy, &uses), diagnosis::role_logs(role, self.resource, ASSOCIATE, &sets)]
    }

    /// What AWS blames on the role's use of the key: as IAM proves it, else as AWS says it.
    pub(super) async fn check_kms_denial(&self, key: &KmsKeyArn, audit: &mut AuditContext) -> Check {
        match self.kms(key, audit).await {
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

    /// What AWS blames on the role's right to change keys: as IAM proves it, else as AWS says it.
    pub(super) async fn check_logs_denial(&self, action: Action, audit: &mut AuditContext) -> Check {
        match self.logs(action, audit).await {
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
    pub(super) async fn kms(&self, key: &KmsKeyArn, audit: &mut AuditContext) -> Check {
        let policy = explain::fetch_policy(self.ports, self.access, key, self.deadline, audit).await;
        let (via, look) = self.simulate(&SimulationRequest::key_use_for(key, self.resource)).await;
        audit.record_aws_call(via);
        let kms = Kms { role: &self.access.grant().role, key, resource: self.resource };
        diagnosis::role_kms(kms, &policy, &look)
    }

    /// Whether the role may change the resource's key in this way.
    pub(super) async fn logs(&self, action: Action, audit: &mut AuditContext) -> Check {
        let action = if action == Action::DisassociateKmsKey { DISASSOCIATE } else { ASSOCIATE };
        let simulation = SimulationRequest::changes(self.access.location(), &[action], [self.resource]);
        let (via, look) = self.simulate(&simulation).await;
        audit.record_aws_call(via);
        diagnosis::role_logs(&self.access.grant().role, self.resource, action, &look)
    }

    async fn simulate(
        &self,
        simulation: &SimulationRequest,
    ) -> (AwsCallRecord, Lookup<Vec<SimulationResult>>) {
        simulate(self.ports, self.access, simulation, self.deadline).await
    }
}

/// What IAM says, and through what it was asked.
pub(super) async fn simulate(
    ports: &Dependencies,
    access: &Access,
    simulation: &SimulationRequest,
    deadline: Instant,
) -> (AwsCallRecord, Lookup<Vec<SimulationResult>>) {
    let simulated = ports.roles.simulate(access, simulation, deadline).await;
    let look = match simulated.result {
        Ok(results) => Lookup::Found(results),
        Err(error) => Lookup::Unknown(explain::lookup_error(&error)),
    };
    (simulated.via, look)
}
