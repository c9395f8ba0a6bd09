//! Takes a key away, and says which former key still protects data.

use std::{sync::Arc, time::Duration};

use super::{
    Changed, Error, KeyBroker, change::Change, locate, require, serial::Held, trail::Trail, validate,
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        ask::{AskDisassociate, ExpectedKey},
        association::{
            DisassociateKmsKey, KeyAssociation, RecordedAssociation, Source, State, Target, Warning,
        },
        authorization::Authorized,
        call::Call,
        key::KeyHealth,
        principal::{Principal, Scope},
        time::Timestamp,
    },
    ports::{LogGroup, limit::Operation},
};

/// A disassociation that is about to be made.
struct Prepared {
    permit: Arc<Authorized<DisassociateKmsKey>>,
    held: Held,
    group: Option<LogGroup>,
    previous: Option<KmsKeyArn>,
}

impl KeyBroker {
    /// Takes a key away if `who` may.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn disassociate(
        &self,
        call: &Call,
        who: &Principal,
        ask: AskDisassociate,
    ) -> Result<Changed, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let (expected, validate_only) = (ask.expected.clone(), ask.validate_only);
        let prepared = match self.permit_disassociation(call, who, ask, &mut trail).await {
            Ok(permitted) => {
                self.prepare_disassociation(call, permitted, expected.as_ref(), &mut trail).await
            }
            Err(error) => Err(error),
        };
        let Prepared { permit, held, group, previous } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                trail.refused(&self.ports, &error);
                return Err(error);
            }
        };
        let resource = permit.command().resource.clone();
        if validate_only {
            trail.read(&self.ports);
            return Ok(validate::unchanged(resource, None, previous, group, Vec::new()));
        }

        let (place, old) = (resource.clone(), previous.clone());
        let record =
            move |accepted| RecordedAssociation { resource: place, key: None, previous_key: old, accepted };
        let change = Change {
            ports: self.ports.clone(),
            permit,
            operation: Operation::DisassociateKmsKey,
            trail,
            deadline: call.deadline,
            held,
        };
        let done = change
            .make(record, |ports, permit, deadline| async move {
                ports.associations.disassociate(&permit, deadline).await
            })
            .await
            .map_err(|error| locate::absent(error, &resource))?;

        let (class, retention) = group.map_or((None, None), |group| (group.class, group.retention));
        let is_group = matches!(resource.target, Target::LogGroup(_));
        let warnings = previous
            .iter()
            .map(|previous| former_key(previous, is_group.then_some((retention, done.accepted))))
            .collect();
        let association = KeyAssociation {
            resource,
            key: None,
            requested_key: None,
            previous_key: previous,
            state: State::Settling,
            accepted: Some(done.accepted),
            health: KeyHealth::NotChecked,
            key_deletion: None,
            class,
            retention,
            source: Source::Recorded,
        };
        Ok(Changed { association, event: Some(done.event), aws_request_id: done.aws_request_id, warnings })
    }

    async fn permit_disassociation(
        &self,
        call: &Call,
        who: &Principal,
        ask: AskDisassociate,
        trail: &mut Trail,
    ) -> Result<(Authorized<DisassociateKmsKey>, Option<Held>), Error> {
        let AskDisassociate { resource, reason, .. } = ask;
        trail.reason(reason.as_ref());
        require(who, Scope::Disassociate)?;
        if resource.target == Target::QueryResults {
            require(who, Scope::QueryResults)?;
        }
        let tenant = self.tenant(who)?;
        let resource = locate::resource(&tenant, resource)?;
        trail.resource(&resource);
        let command = DisassociateKmsKey { resource: resource.clone(), reason };
        self.permit_informed(call, who, &tenant, (command, &resource), trail).await
    }

    /// Waits for the resource, and looks at the log group as it is before: its key is about to be a
    /// former one, and AWS forgets former keys.
    async fn prepare_disassociation(
        &self,
        call: &Call,
        (permit, held): (Authorized<DisassociateKmsKey>, Option<Held>),
        expected: Option<&ExpectedKey>,
        trail: &mut Trail,
    ) -> Result<Prepared, Error> {
        let resource = &permit.command().resource;
        let held = self.held(held, resource, call).await?;
        let group = self.look_before(call, permit.access(), resource, trail).await?;
        let previous = match &group {
            Some(group) => group.key.clone(),
            None => self.recorded_key(resource).await,
        };
        trail.previous(previous.as_ref());
        if let Some(expected) = expected {
            self.expected(call, permit.access(), expected, previous.as_ref(), trail).await?;
        }
        Ok(Prepared { permit: Arc::new(permit), held, group, previous })
    }
}

/// Says that the former key must stay; `kept` is the log group's retention and the time of the change.
fn former_key(previous: &KmsKeyArn, kept: Option<(Option<Duration>, Timestamp)>) -> Warning {
    let until = match kept {
        Some((Some(retention), accepted)) => format!("until {}", accepted.plus(retention)),
        Some((None, _)) => "for ever, since the log group has no retention".into(),
        None => "until AWS deletes the stored query results".into(),
    };
    Warning {
        code: "FORMER_KEY_STILL_PROTECTS_DATA",
        message: format!("what was written under {previous} stays under it {until}: keep that key enabled"),
    }
}
