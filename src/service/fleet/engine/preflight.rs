//! The checks of a plan. What they read from AWS is read once for the location: the key, its policy, and what
//! IAM simulates for the role. Each resource is then checked without a further call.

use std::collections::HashMap;

use super::task::LocationTask;
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, DisassociateKmsKey, LogGroupName, Resource, Target},
        authorization::{Access, Authorized, Command, Denial, PolicyFacts},
        call::Action,
        diagnosis::{self, Check, GroupLookup, Lookup},
        fleet::Failure,
    },
    ports::aws::AwsErrorDetails,
    service::{
        context::Context,
        error::{AwsCallError, Error, Repetition, RequestError},
        preflight::role_check::RoleCheck,
        shared::{lookup, resolve},
    },
};

/// The checks of one location.
pub(super) struct Preflight {
    moved_from_id: Option<KmsKeyId>,
    moved_from: Option<KmsKeyArn>,
    requested: Option<KmsKeyId>,
    key: Option<KmsKeyArn>,
    /// Why no resource can get the key.
    blocked: Option<Failure>,
    policy: Lookup<Box<str>>,
    /// Whether the role was checked for the first resource.
    role_checked: bool,
    /// Why keys of reverted items cannot be used.
    keys: HashMap<KmsKeyArn, Option<Failure>>,
}

// === impl Preflight ===

impl Preflight {
    pub(super) fn new(moved_from_id: Option<KmsKeyId>) -> Self {
        Self {
            moved_from_id,
            moved_from: None,
            requested: None,
            key: None,
            blocked: None,
            policy: Lookup::Unknown("it was not read".to_owned()),
            role_checked: false,
            keys: HashMap::new(),
        }
    }

    /// The key that resources get.
    pub(super) fn key(&self) -> Option<&KmsKeyArn> {
        self.key.as_ref()
    }

    /// The key that resources have to have now.
    pub(super) fn moved_from(&self) -> Option<&KmsKeyArn> {
        self.moved_from.as_ref()
    }

    /// Whether the key that resources get is known, or they get none.
    pub(super) fn is_resolved(&self) -> bool {
        self.requested.is_none() || self.key.is_some()
    }

    /// Reads the key to set and its policy. A key that cannot be used blocks every resource.
    pub(super) async fn resolve(
        &mut self,
        task: &LocationTask,
        cx: &mut Context,
        access: &Access,
        requested: Option<KmsKeyId>,
    ) -> Result<Option<KmsKeyArn>, Error> {
        self.resolve_moved_from(cx, access).await?;
        self.requested.clone_from(&requested);
        let Some(requested) = requested else { return Ok(None) };
        let location = access.location().clone();
        let resource = Resource { location: location.clone(), target: Target::QueryResults };
        let not_found = RequestError::KeyNotFound { key: requested.clone(), location };
        if let KmsKeyId::Arn(arn) = &requested
            && let Err(error) = resolve::check_region(arn, &resource.location)
        {
            self.blocked = Some(task.failure(&error));
            return Ok(None);
        }
        let described = lookup::describe_key(cx, access, &requested, cx.call.deadline).await?;
        match &described {
            Lookup::Found(key) if access.grant().allows_key(&key.arn) => {
                self.key = Some(key.arn.clone());
                let failed = diagnosis::key_exists(&requested, &resource, &described);
                let failed = failed.into_iter().chain(diagnosis::key_usable(key)).find(is_failed);
                self.blocked = failed.map(|check| diagnosed(task, check));
                self.policy = lookup::fetch_policy(cx, access, &key.arn, cx.call.deadline).await;
            }
            Lookup::Found(_) | Lookup::Absent => {
                self.blocked = Some(task.failure(&Error::Request(not_found)));
            }
            // The role may not read keys. An ARN needs no reading; anything else cannot be resolved.
            Lookup::Unknown(cause) => match &requested {
                KmsKeyId::Arn(arn) => self.key = Some(arn.clone()),
                KmsKeyId::AliasArn { .. } | KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => {
                    let failure = task.failure(&Error::Request(not_found));
                    let message = format!("{}; it could not be read, because {cause}", failure.message);
                    self.blocked = Some(Failure { message: message.into(), ..failure });
                }
            },
        }
        Ok(self.key.clone())
    }

    /// Prepares the removal of keys: the role has to be assumable.
    pub(super) async fn remove(
        &mut self,
        _task: &LocationTask,
        cx: &mut Context,
        access: &Access,
    ) -> Result<(), Error> {
        self.resolve_moved_from(cx, access).await
    }

    /// Resolves the key that resources have to have now. One that does not exist selects nothing.
    async fn resolve_moved_from(&mut self, cx: &mut Context, access: &Access) -> Result<(), Error> {
        let Some(id) = &self.moved_from_id else { return Ok(()) };
        if let KmsKeyId::Arn(arn) = id {
            self.moved_from = Some(arn.clone());
            return Ok(());
        }
        let described = lookup::describe_key(cx, access, id, cx.call.deadline).await?;
        if let Lookup::Found(key) = described {
            self.moved_from = Some(key.arn);
        }
        Ok(())
    }

    /// Why the change of this resource would fail. `None` if no check found a cause.
    pub(super) async fn check(
        &mut self,
        task: &LocationTask,
        cx: &mut Context,
        access: &Access,
        resource: &Resource,
        class: Option<Box<str>>,
    ) -> Option<Failure> {
        if let Target::LogGroup(name) = &resource.target
            && let Some(failure) = self.check_group(task, resource, name, class)
        {
            return Some(failure);
        }
        if let Some(blocked) = &self.blocked {
            return Some(blocked.clone());
        }
        if let Some(failure) = self.check_policy(task, cx, access, resource) {
            return Some(failure);
        }
        if !self.role_checked {
            self.role_checked = true;
            self.blocked = self.check_role(task, cx, access, resource).await;
            if let Some(blocked) = &self.blocked {
                return Some(blocked.clone());
            }
        }
        let evaluated = diagnosis::key_policy(self.key.as_ref()?, resource, &self.policy);
        is_failed(&evaluated).then(|| diagnosed(task, evaluated))
    }

    fn check_group(
        &self,
        task: &LocationTask,
        resource: &Resource,
        name: &LogGroupName,
        class: Option<Box<str>>,
    ) -> Option<Failure> {
        if name.is_reserved() {
            let error = Error::Request(RequestError::LogGroupReserved(name.clone()));
            return Some(task.failure(&error));
        }
        let found = Lookup::Found(GroupLookup { key: None, class });
        let failed = diagnosis::log_group(resource, &found).into_iter().find(is_failed)?;
        self.requested.is_some().then(|| diagnosed(task, failed))
    }

    /// What policy decides about the change, if it needs no facts. Otherwise it decides when the turn of the item
    /// comes.
    fn check_policy(
        &self,
        task: &LocationTask,
        cx: &Context,
        access: &Access,
        resource: &Resource,
    ) -> Option<Failure> {
        let denial = match &self.key {
            Some(key) => {
                let requested_key = self.requested.clone().unwrap_or_else(|| KmsKeyId::Arn(key.clone()));
                let (resource, key) = (resource.clone(), key.clone());
                decide(cx, access, AssociateKmsKey { resource, key, requested_key, reason: None })
            }
            None => decide(cx, access, DisassociateKmsKey { resource: resource.clone(), reason: None }),
        }?;
        let (location, target) = (&resource.location, Some(&resource.target));
        let error =
            resolve::mask_command_denial(denial, access.tenant(), location, target, self.key.as_ref());
        Some(task.failure(&error))
    }

    /// Lets IAM simulate what the role needs for the first resource, which stands for all of the location.
    async fn check_role(
        &self,
        task: &LocationTask,
        cx: &mut Context,
        access: &Access,
        resource: &Resource,
    ) -> Option<Failure> {
        let role = RoleCheck { access, resource, deadline: cx.call.deadline };
        let failed = match &self.key {
            Some(key) => {
                let checks = role.check_may_associate(cx, key, &self.policy).await;
                checks.into_iter().find(is_failed)
            }
            None => Some(role.logs(cx, Action::DisassociateKmsKey).await).filter(is_failed),
        };
        failed.map(|check| diagnosed(task, check))
    }

    /// Why a key that a reverted item gets cannot be used. Each key is read once.
    pub(super) async fn check_key(
        &mut self,
        task: &LocationTask,
        cx: &mut Context,
        access: &Access,
        key: &KmsKeyArn,
    ) -> Option<Failure> {
        if let Some(known) = self.keys.get(key) {
            return known.clone();
        }
        let id = KmsKeyId::Arn(key.clone());
        let failure = match lookup::describe_key(cx, access, &id, cx.call.deadline).await {
            Ok(Lookup::Found(metadata)) => {
                diagnosis::key_usable(&metadata).into_iter().find(is_failed).map(|it| diagnosed(task, it))
            }
            Ok(Lookup::Absent) => {
                let location = access.location().clone();
                let error = Error::Request(RequestError::KeyNotFound { key: id, location });
                Some(task.failure(&error))
            }
            Ok(Lookup::Unknown(_)) | Err(_) => None,
        };
        self.keys.insert(key.clone(), failure.clone());
        failure
    }
}

/// The denial of a command that policy decides without facts.
fn decide<C: Command>(cx: &Context, access: &Access, command: C) -> Option<Denial> {
    if !cx.required_facts(access.tenant(), &command).is_empty() {
        return None;
    }
    let decided: Result<Authorized<C>, Denial> =
        cx.decide_command(&PolicyFacts::default(), access.tenant(), command);
    decided.err()
}

fn is_failed(check: &Check) -> bool {
    check.reason().is_some()
}

fn diagnosed(task: &LocationTask, check: Check) -> Failure {
    let answer = AwsErrorDetails::default();
    let repetition = Repetition::Futile;
    task.failure(&Error::Aws(AwsCallError::Diagnosed { cause: Box::new(check), answer, repetition }))
}
