//! What the account's role may do, as far as IAM tells: for checks before a change, and for the cause of
//! a refusal after one.

use std::time::Instant;

use super::{Ports, diagnose, trail::Trail};
use crate::domain::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    audit::Via,
    authorization::Access,
    call::Action,
    diagnosis::{self, Check, Kms, Look, Name},
    reason::Reason,
    remedy,
    simulation::{ASSOCIATE, DISASSOCIATE, Simulated, Trial},
};

/// One look at a role that is to do something with a resource.
pub(super) struct RoleLook<'l> {
    pub(super) ports: &'l Ports,
    pub(super) access: &'l Access,
    pub(super) resource: &'l Resource,
    pub(super) deadline: Instant,
}

// === impl RoleLook ===

impl RoleLook<'_> {
    /// Whether the role may use the key for the resource and set it.
    pub(super) async fn may_associate(
        &self,
        key: &KmsKeyArn,
        policy: &Look<Box<str>>,
        trail: &mut Trail,
    ) -> [Check; 2] {
        let uses = Trial::key_use_for(key, self.resource);
        let sets = Trial::changes(self.access.place(), &[ASSOCIATE], [self.resource]);
        let (uses, sets) = tokio::join!(self.simulate(&uses), self.simulate(&sets));
        let [uses, sets] = [uses, sets].map(|(via, look)| {
            trail.via(via);
            look
        });
        let role = &self.access.grant().role;
        let kms = Kms { role, key, resource: self.resource };
        [diagnosis::role_kms(kms, policy, &uses), diagnosis::role_logs(role, self.resource, ASSOCIATE, &sets)]
    }

    /// What AWS blames on the role's use of the key: as IAM proves it, else as AWS says it.
    pub(super) async fn lacks_kms(&self, key: &KmsKeyArn, trail: &mut Trail) -> Check {
        match self.kms(key, trail).await {
            proved if proved.reason().is_some() => proved,
            _ => {
                let detail = "the role that this service assumes may not use the key";
                Check::failed(Name::RoleKmsPermission, Reason::RoleLacksKmsPermission, detail, "").with_document(
                    "add this statement to the role's policy; the key's policy must let the account's own policies decide, or name the role",
                    &remedy::role_kms_statement(key, self.resource),
                )
            }
        }
    }

    /// What AWS blames on the role's right to change keys: as IAM proves it, else as AWS says it.
    pub(super) async fn lacks_logs(&self, action: Action, trail: &mut Trail) -> Check {
        match self.logs(action, trail).await {
            proved if proved.reason().is_some() => proved,
            _ => {
                let what = match self.resource.target {
                    Target::LogGroup(_) => "of this log group",
                    Target::QueryResults => "of query results",
                };
                let detail = format!("the role that this service assumes may not change the key {what}");
                Check::failed(Name::RoleLogsPermission, Reason::RoleLacksLogsPermission, detail, "")
                    .with_document(
                        "add this statement to the role's policy",
                        &remedy::role_logs_statement(self.resource),
                    )
            }
        }
    }

    /// Whether the role may use the key for the resource.
    pub(super) async fn kms(&self, key: &KmsKeyArn, trail: &mut Trail) -> Check {
        let policy = diagnose::look_at_policy(self.ports, self.access, key, self.deadline, trail).await;
        let (via, look) = self.simulate(&Trial::key_use_for(key, self.resource)).await;
        trail.via(via);
        let kms = Kms { role: &self.access.grant().role, key, resource: self.resource };
        diagnosis::role_kms(kms, &policy, &look)
    }

    /// Whether the role may change the resource's key in this way.
    pub(super) async fn logs(&self, action: Action, trail: &mut Trail) -> Check {
        let action = if action == Action::DisassociateKmsKey { DISASSOCIATE } else { ASSOCIATE };
        let trial = Trial::changes(self.access.place(), &[action], [self.resource]);
        let (via, look) = self.simulate(&trial).await;
        trail.via(via);
        diagnosis::role_logs(&self.access.grant().role, self.resource, action, &look)
    }

    async fn simulate(&self, trial: &Trial) -> (Via, Look<Vec<Simulated>>) {
        simulate(self.ports, self.access, trial, self.deadline).await
    }
}

/// What IAM says, and through what it was asked.
pub(super) async fn simulate(
    ports: &Ports,
    access: &Access,
    trial: &Trial,
    deadline: Instant,
) -> (Via, Look<Vec<Simulated>>) {
    let simulated = ports.roles.simulate(access, trial, deadline).await;
    let look = match simulated.result {
        Ok(told) => Look::Found(told),
        Err(error) => Look::Unknown(diagnose::why(&error)),
    };
    (simulated.via, look)
}
