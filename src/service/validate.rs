//! `validate_only`: what a change would meet, with nothing changed.

use super::{Changed, Error, KeyBroker, role::RoleLook, trail::Trail};
use crate::{
    domain::{
        arn::KmsKeyId,
        association::{CheckKeyAssociation, Resource, Warning},
        authorization::Access,
        call::{Action, Call},
        diagnosis::{Diagnosis, Outcome},
        principal::Principal,
    },
    ports::aws::AwsAnswer,
};

impl KeyBroker {
    /// Runs the checks of an association that policy has allowed.
    pub(super) async fn validated(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        resource: &Resource,
        requested: &KmsKeyId,
        trail: &mut Trail,
    ) -> Result<Vec<Warning>, Error> {
        let look = CheckKeyAssociation { resource: resource.clone() };
        let permit = self.permit(call, who, access.tenant(), look, trail)?;
        unchecked(&self.examine(call, who, access.tenant(), &permit, requested, trail).await)
    }

    /// The same for a disassociation of what was looked at and found before.
    pub(super) async fn validated_disassociation(
        &self,
        call: &Call,
        access: &Access,
        resource: &Resource,
        trail: &mut Trail,
    ) -> Result<Vec<Warning>, Error> {
        let role = RoleLook { ports: &self.ports, access, resource, deadline: call.deadline };
        let checks = vec![role.logs(Action::DisassociateKmsKey, trail).await];
        unchecked(&Diagnosis { checks, key: None })
    }
}

/// The answer to a change that was not made.
pub(super) fn unchanged(changed: Changed, unchecked: Vec<Warning>) -> Changed {
    let only =
        Warning { code: "VALIDATED_ONLY".into(), message: "nothing was changed, as asked for".to_owned() };
    let mut warnings = vec![only];
    warnings.extend(unchecked);
    warnings.extend(changed.warnings);
    Changed { warnings, ..changed }
}

/// What could not be checked; an error where a check failed.
fn unchecked(diagnosis: &Diagnosis) -> Result<Vec<Warning>, Error> {
    if let Some(cause) = diagnosis.cause() {
        return Err(Error::Diagnosed { cause: Box::new(cause.clone()), answer: AwsAnswer::default() });
    }
    let unchecked = diagnosis.checks.iter().filter(|check| check.outcome == Outcome::NotChecked);
    let warnings = unchecked.map(|check| Warning {
        code: "NOT_CHECKED".into(),
        message: format!("{}: {}", check.name.as_str(), check.detail),
    });
    Ok(warnings.collect())
}
