//! The keys that rules require in one location. What AWS says about a key, its policy and the role is read once.

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, Resource, Target},
        authorization::{Access, PolicyFacts},
        diagnosis::{self, Check, Lookup},
        fleet::{Failure, RequiredKey},
        reason::Reason,
    },
    ports::aws::AwsErrorDetails,
    service::{
        context::Context,
        error::{AwsCallError, Error, Repetition, RequestError},
        fleet::ports::ErrorTexts,
        preflight::role_check::RoleCheck,
        shared::{lookup, resolve},
    },
};

/// The keys of one location.
pub(super) struct LocationKeys<'l> {
    texts: &'l dyn ErrorTexts,
    keys: Vec<CheckedKey>,
}

/// A key as a rule names it, with what is known about it.
struct CheckedKey {
    requested: Option<KmsKeyId>,
    required: RequiredKey,
    policy: Lookup<Box<str>>,
    /// Whether the role was checked for the first resource.
    role_checked: bool,
    /// Why the role cannot set the key.
    role_failure: Option<Failure>,
}

// === impl LocationKeys ===

impl<'l> LocationKeys<'l> {
    pub(super) fn new(texts: &'l dyn ErrorTexts) -> Self {
        Self { texts, keys: Vec::new() }
    }

    /// The key that a rule requires in the location. Fails only if the role cannot be assumed.
    pub(super) async fn resolve(
        &mut self,
        cx: &mut Context,
        access: &Access,
        requested: Option<&KmsKeyId>,
    ) -> Result<RequiredKey, Error> {
        if let Some(known) = self.keys.iter().find(|it| it.requested.as_ref() == requested) {
            return Ok(known.required.clone());
        }
        let (required, policy) = match requested {
            Some(requested) => self.read(cx, access, requested).await?,
            None => (without_key(access), unread()),
        };
        let checked = CheckedKey {
            requested: requested.cloned(),
            required: required.clone(),
            policy,
            role_checked: false,
            role_failure: None,
        };
        self.keys.push(checked);
        Ok(required)
    }

    async fn read(
        &self,
        cx: &mut Context,
        access: &Access,
        requested: &KmsKeyId,
    ) -> Result<(RequiredKey, Lookup<Box<str>>), Error> {
        let location = access.location().clone();
        let unresolved =
            |failure| (RequiredKey::Unresolved { requested: Some(requested.clone()), failure }, unread());
        let not_found =
            Error::Request(RequestError::KeyNotFound { key: requested.clone(), location: location.clone() });
        if let KmsKeyId::Arn(arn) = requested {
            if let Err(error) = resolve::check_region(arn, &location) {
                return Ok(unresolved(self.texts.failure(&error)));
            }
            if !access.grant().allows_key(arn) {
                return Ok(unresolved(self.texts.failure(&not_found)));
            }
        }
        let described = lookup::describe_key(cx, access, requested, cx.call.deadline).await?;
        Ok(match (described, requested) {
            (Lookup::Found(key), _) if access.grant().allows_key(&key.arn) => {
                let failed = diagnosis::key_usable(&key).into_iter().find(is_failed);
                let unhealthy = failed.map(|check| self.diagnosed(check));
                let policy = lookup::fetch_policy(cx, access, &key.arn, cx.call.deadline).await;
                (RequiredKey::Resolved { arn: key.arn, unhealthy }, policy)
            }
            // The key was deleted, and log groups can still have it.
            (Lookup::Absent, KmsKeyId::Arn(arn)) => {
                let unhealthy = Some(self.texts.failure(&not_found));
                (RequiredKey::Resolved { arn: arn.clone(), unhealthy }, unread())
            }
            (Lookup::Found(_) | Lookup::Absent, _) => unresolved(self.texts.failure(&not_found)),
            // The role may not read keys. An ARN needs no reading.
            (Lookup::Unknown(_), KmsKeyId::Arn(arn)) => {
                (RequiredKey::Resolved { arn: arn.clone(), unhealthy: None }, unread())
            }
            (Lookup::Unknown(cause), _) => {
                let failure = self.texts.failure(&not_found);
                let message = format!("{}; it could not be read, because {cause}", failure.message);
                unresolved(Failure { message: message.into(), ..failure })
            }
        })
    }

    /// Why the rule cannot set the key on this resource. `creator` is the context of the rule's principal. `None`
    /// if no check found a cause.
    pub(super) async fn check(
        &mut self,
        creator: &mut Context,
        access: &Access,
        key: &KmsKeyArn,
        resource: &Resource,
    ) -> Option<Failure> {
        if let Target::LogGroup(name) = &resource.target
            && name.is_reserved()
        {
            let error = Error::Request(RequestError::LogGroupReserved(name.clone()));
            return Some(self.texts.failure(&error));
        }
        let texts = self.texts;
        let checked = self.keys.iter_mut().find(|it| it.required.arn() == Some(key))?;
        if let Some(failure) = checked.required.failure() {
            return Some(failure.clone());
        }
        let requested_key = checked.requested.clone().unwrap_or_else(|| KmsKeyId::Arn(key.clone()));
        let command =
            AssociateKmsKey { resource: resource.clone(), key: key.clone(), requested_key, reason: None };
        if creator.required_facts(access.tenant(), &command).is_empty()
            && let Err(denial) = creator.decide_command(&PolicyFacts::default(), access.tenant(), command)
        {
            let target = Some(&resource.target);
            let error =
                resolve::mask_command_denial(denial, access.tenant(), &resource.location, target, Some(key));
            return Some(texts.failure(&error));
        }
        if !checked.role_checked {
            checked.role_checked = true;
            let role = RoleCheck { access, resource, deadline: creator.call.deadline };
            let checks = role.check_may_associate(creator, key, &checked.policy).await;
            checked.role_failure = checks.into_iter().find(is_failed).map(|check| diagnosed(texts, check));
        }
        if let Some(failure) = &checked.role_failure {
            return Some(failure.clone());
        }
        let evaluated = diagnosis::key_policy(key, resource, &checked.policy);
        is_failed(&evaluated).then(|| diagnosed(texts, evaluated))
    }

    fn diagnosed(&self, check: Check) -> Failure {
        diagnosed(self.texts, check)
    }
}

/// The requirement of a rule that has no key for the location.
fn without_key(access: &Access) -> RequiredKey {
    let location = access.location();
    let message = format!(
        "the rule has no key for account {} and Region {}: set key.kms_key_id, or add an override",
        location.account, location.region
    );
    RequiredKey::Unresolved { requested: None, failure: Failure::new(Reason::KeyNotFound, message) }
}

fn unread() -> Lookup<Box<str>> {
    Lookup::Unknown("it was not read".to_owned())
}

fn is_failed(check: &Check) -> bool {
    check.reason().is_some()
}

fn diagnosed(texts: &dyn ErrorTexts, check: Check) -> Failure {
    let answer = AwsErrorDetails::default();
    let repetition = Repetition::Futile;
    texts.failure(&Error::Aws(AwsCallError::Diagnosed { cause: Box::new(check), answer, repetition }))
}
