//! The dry run of a change (`validate_only`): runs its checks and changes nothing.

use super::{
    change::{KeyChange, PreparedChange},
    changed::Changed,
};
use crate::{
    domain::{
        association::Warning,
        diagnosis::{Diagnosis, Outcome},
    },
    ports::aws::AwsErrorDetails,
    service::{
        context::Context,
        error::{AwsCallError, Error, Repetition},
    },
};

/// Runs the checks of a prepared change, and returns the response that the change would get.
pub(super) async fn finish<K: KeyChange>(
    mut cx: Context,
    prepared: PreparedChange<K::Command>,
) -> Result<Changed, Error> {
    let PreparedChange { resource, authorized, prior, guard: _guard } = prepared;
    let checked = K::dry_run(&mut cx, &authorized).await;
    let unverified = cx.record_read(checked)?;
    let (key, now) = (K::new_key(authorized.command()), cx.ports().clock.now());
    let changed = prior.into_changed(resource, key, None, now, Box::default());
    let message = "nothing was changed, because validate_only is set".to_owned();
    let validated = Warning { code: "VALIDATED_ONLY".into(), message };
    let warnings = [validated].into_iter().chain(unverified).chain(changed.warnings).collect();
    Ok(Changed { warnings, ..changed })
}

/// A warning for each check that could not be made. An error if a check failed.
pub(super) fn unverified_warnings(diagnosis: &Diagnosis) -> Result<Vec<Warning>, Error> {
    if let Some(cause) = diagnosis.cause() {
        return Err(Error::Aws(AwsCallError::Diagnosed {
            cause: Box::new(cause.clone()),
            answer: AwsErrorDetails::default(),
            repetition: Repetition::Possible,
        }));
    }
    let unchecked = diagnosis.checks.iter().filter(|check| check.outcome == Outcome::NotChecked);
    let warnings = unchecked.map(|check| Warning {
        code: "NOT_CHECKED".into(),
        message: format!("{}: {}", check.name.as_str(), check.detail),
    });
    Ok(warnings.collect())
}
