//! `validate_only`: what a change would meet, with nothing changed.

use super::{Changed, Error, KeyBroker, trail::Trail};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{CheckKeyAssociation, KeyAssociation, Resource, Source, State, Warning},
        authorization::Access,
        call::Call,
        diagnosis::{Diagnosis, Outcome},
        key::KeyHealth,
        principal::Principal,
    },
    ports::{LogGroup, aws::AwsAnswer},
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
pub(super) fn unchanged(
    resource: Resource,
    key: Option<(KmsKeyArn, KmsKeyId)>,
    previous_key: Option<KmsKeyArn>,
    group: Option<LogGroup>,
    mut warnings: Vec<Warning>,
) -> Changed {
    warnings.insert(
        0,
        Warning { code: "VALIDATED_ONLY", message: "nothing was changed, as asked for".to_owned() },
    );
    let (key, requested_key) = key.map_or((None, None), |(key, requested)| (Some(key), Some(requested)));
    let (class, retention) = group.map_or((None, None), |group| (group.class, group.retention));
    let association = KeyAssociation {
        resource,
        key,
        requested_key,
        previous_key,
        state: State::Unknown,
        accepted: None,
        health: KeyHealth::NotChecked,
        key_deletion: None,
        class,
        retention,
        source: Source::Live,
    };
    Changed { association, event: None, aws_request_id: Box::default(), warnings }
}

fn unchecked(diagnosis: &Diagnosis) -> Vec<Warning> {
    let unchecked = diagnosis.checks.iter().filter(|check| check.outcome == Outcome::NotChecked);
    unchecked
        .map(|check| Warning {
            code: "NOT_CHECKED",
            message: format!("{}: {}", check.name.as_str(), check.detail),
        })
        .collect()
}
