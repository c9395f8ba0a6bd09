//! `validate_only`: what a change would meet, with nothing changed.

use super::{Changed, Error, KeyBroker, trail::Trail};
use crate::{
    domain::{
        arn::KmsKeyId,
        association::{CheckKeyAssociation, Resource, Warning},
        authorization::Access,
        call::Call,
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
        let diagnosis = self.examine(call, who, access.tenant(), &permit, requested, trail).await;
        match diagnosis.cause() {
            Some(cause) => {
                Err(Error::Diagnosed { cause: Box::new(cause.clone()), answer: AwsAnswer::default() })
            }
            None => Ok(unchecked(&diagnosis)),
        }
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

fn unchecked(diagnosis: &Diagnosis) -> Vec<Warning> {
    let unchecked = diagnosis.checks.iter().filter(|check| check.outcome == Outcome::NotChecked);
    unchecked
        .map(|check| Warning {
            code: "NOT_CHECKED".into(),
            message: format!("{}: {}", check.name.as_str(), check.detail),
        })
        .collect()
}
