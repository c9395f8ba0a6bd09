//! `validate_only`: what a change would meet, with nothing changed.

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
    service::{context::Context, error::Error},
};

/// Runs the checks of a prepared change, and answers as the change would.
pub(super) async fn finish<K: KeyChange>(
    mut cx: Context,
    prepared: PreparedChange<K::Command>,
) -> Result<Changed, Error> {
    let PreparedChange { resource, authorized, prior, guard: _guard } = prepared;
    let checked = K::dry_run(&mut cx, &authorized).await;
    let unverified = cx.record_read(checked)?;
    let (key, now) = (K::new_key(authorized.command()), cx.ports().clock.now());
    let changed = prior.into_changed(resource, key, None, now, Box::default());
    let only =
        Warning { code: "VALIDATED_ONLY".into(), message: "nothing was changed, as asked for".to_owned() };
    let warnings = [only].into_iter().chain(unverified).chain(changed.warnings).collect();
    Ok(Changed { warnings, ..changed })
}

/// What could not be checked; an error where a check failed.
pub(super) fn unverified_warnings(diagnosis: &Diagnosis) -> Result<Vec<Warning>, Error> {
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
