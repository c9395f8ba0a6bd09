//! What a change finds before it is made: the key in force, and whether it is the one that the caller
//! expects.

use super::{Error, KeyBroker, audit_context::AuditContext, explain};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Resource, Target},
        authorization::Access,
        call::Call,
        diagnosis::Lookup,
        request::ExpectedKey,
    },
    ports::LogGroup,
};

impl KeyBroker {
    /// Refuses where the key in force is another than expected; `group` is the log group as AWS has
    /// it now, and query results are known from our own record only.
    pub(super) async fn check_precondition(
        &self,
        call: &Call,
        access: &Access,
        expected: &ExpectedKey,
        in_force: Option<&KmsKeyArn>,
        audit: &mut AuditContext,
    ) -> Result<(), Error> {
        let as_expected = match (expected, in_force) {
            (ExpectedKey::Nothing, in_force) => in_force.is_none(),
            (ExpectedKey::Key(_), None) => false,
            (ExpectedKey::Key(KmsKeyId::Arn(key)), Some(in_force)) => key == in_force,
            (ExpectedKey::Key(named), Some(in_force)) => {
                let look = explain::describe_key(&self.ports, access, named, call.deadline, audit).await;
                match look.map_err(|answer| Error::RoleNotAssumable { answer })? {
                    Lookup::Found(key) => key.arn == *in_force,
                    Lookup::Absent => false,
                    Lookup::Unknown(_) => {
                        return Err(Error::KeyNotFound {
                            key: named.clone(),
                            location: access.location().clone(),
                        });
                    }
                }
            }
        };
        if as_expected { Ok(()) } else { Err(Error::ExpectedKeyMismatch { in_force: in_force.cloned() }) }
    }

    /// The log group as AWS has it now; none for query results.
    pub(super) async fn read_current_key(
        &self,
        call: &Call,
        access: &Access,
        resource: &Resource,
        audit: &mut AuditContext,
    ) -> Result<Option<LogGroup>, Error> {
        match &resource.target {
            Target::LogGroup(name) => self.find_log_group(access, name, call.deadline, audit).await.map(Some),
            Target::QueryResults => Ok(None),
        }
    }
}
