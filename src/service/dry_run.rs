//! `validate_only`: what a change would meet, with nothing changed.

use super::{Changed, Error, KeyBroker, audit_context::AuditContext, role_check::RoleCheck};
use crate::{
    domain::{
        arn::KmsKeyId,
        association::{CheckKeyAssociation, Resource, Warning},
        authorization::Access,
        call::{Action, Call},
        diagnosis::{Diagnosis, Outcome},
        principal::Principal,
    },
    ports::aws::AwsErrorDetails,
};

impl KeyBroker {
    /// Runs the checks of an association that policy has allowed.
    pub(super) async fn run_dry_checks(
        &self,
        call: &Call,
        principal: &Principal,
        access: &Access,
        resource: &Resource,
        requested: &KmsKeyId,
        audit: &mut AuditContext,
    ) -> Result<Vec<Warning>, Error> {
        let read = CheckKeyAssociation { resource: resource.clone() };
        let permit = self.authorize(call, principal, access.tenant(), read, audit)?;
        unverified_warnings(
            &self.run_checks(call, principal, access.tenant(), &permit, requested, audit).await,
        )
    }

    /// The same for a disassociation of what was looked at and found before.
    pub(super) async fn validated_disassociation(
        &self,
        call: &Call,
        access: &Access,
        resource: &Resource,
        audit: &mut AuditContext,
    ) -> Result<Vec<Warning>, Error> {
        let role = RoleCheck { ports: &self.ports, access, resource, deadline: call.deadline };
        let checks = vec![role.logs(Action::DisassociateKmsKey, audit).await];
        unverified_warnings(&Diagnosis { checks, key: None })
    }
}

/// The answer to a change that was not made.
pub(super) fn as_dry_run(changed: Changed, unchecked: Vec<Warning>) -> Changed {
    let only =
        Warning { code: "VALIDATED_ONLY".into(), message: "nothing was changed, as asked for".to_owned() };
    let mut warnings = vec![only];
    warnings.extend(unchecked);
    warnings.extend(changed.warnings);
    Changed { warnings, ..changed }
}

/// What could not be checked; an error where a check failed.
fn unverified_warnings(diagnosis: &Diagnosis) -> Result<Vec<Warning>, Error> {
    if let Some(cause) = diagnosis.cause() {
        return Err(Error::Diagnosed { cause: Box::new(cause.clone()), answer: AwsErrorDetails::default() });
    }
    let unchecked = diagnosis.checks.iter().filter(|check| check.outcome == Outcome::NotChecked);
    let warnings = unchecked.map(|check| Warning {
        code: "NOT_CHECKED".into(),
        message: format!("{}: {}", check.name.as_str(), check.detail),
    });
    Ok(warnings.collect())
}
