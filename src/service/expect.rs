//! What a change finds before it is made: the key in force, and whether it is the one that the caller
//! expects.

use super::{Error, KeyBroker, diagnose, trail::Trail};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        ask::ExpectedKey,
        association::{Resource, Target},
        authorization::Access,
        call::Call,
        diagnosis::Look,
    },
    ports::LogGroup,
};

impl KeyBroker {
    /// Refuses where the key in force is another than expected; `group` is the log group as AWS has
    /// it now, and query results are known from our own record only.
    pub(super) async fn expected(
        &self,
        call: &Call,
        access: &Access,
        expected: &ExpectedKey,
        in_force: Option<&KmsKeyArn>,
        trail: &mut Trail,
    ) -> Result<(), Error> {
        let as_expected = match (expected, in_force) {
            (ExpectedKey::Nothing, in_force) => in_force.is_none(),
            (ExpectedKey::Key(_), None) => false,
            (ExpectedKey::Key(KmsKeyId::Arn(key)), Some(in_force)) => key == in_force,
            (ExpectedKey::Key(named), Some(in_force)) => {
                let look = diagnose::look_at_key(&self.ports, access, named, call.deadline, trail).await;
                match look.map_err(|answer| Error::RoleNotAssumable { answer })? {
                    Look::Found(key) => key.arn == *in_force,
                    Look::Absent => false,
                    Look::Unknown(_) => {
                        return Err(Error::KeyNotFound { key: named.clone(), place: access.place().clone() });
                    }
                }
            }
        };
        if as_expected { Ok(()) } else { Err(Error::ExpectedKeyMismatch { in_force: in_force.cloned() }) }
    }

    /// The log group as AWS has it now; none for query results.
    pub(super) async fn look_before(
        &self,
        call: &Call,
        access: &Access,
        resource: &Resource,
        trail: &mut Trail,
    ) -> Result<Option<LogGroup>, Error> {
        match &resource.target {
            Target::LogGroup(name) => self.find_log_group(access, name, call.deadline, trail).await.map(Some),
            Target::QueryResults => Ok(None),
        }
    }
}
