//! Compares the current key with the one that the caller expects (`expected_kms_key_id`).

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        authorization::Access,
        diagnosis::Lookup,
        request::ExpectedKey,
    },
    service::{
        context::Context,
        error::{ChangeError, Error, RequestError},
        shared::lookup,
    },
};

/// Fails if the current key is not the expected one.
pub(super) async fn check(
    cx: &mut Context,
    access: &Access,
    expected: &ExpectedKey,
    current: Option<&KmsKeyArn>,
) -> Result<(), Error> {
    let matches = match (expected, current) {
        (ExpectedKey::Nothing, current) => current.is_none(),
        (ExpectedKey::Key(_), None) => false,
        (ExpectedKey::Key(KmsKeyId::Arn(key)), Some(current)) => key == current,
        (ExpectedKey::Key(key_id), Some(current)) => {
            let deadline = cx.call.deadline;
            let found = lookup::describe_key(cx, access, key_id, deadline).await;
            match found? {
                Lookup::Found(key) => key.arn == *current,
                Lookup::Absent => false,
                Lookup::Unknown(_) => {
                    return Err(Error::Request(RequestError::KeyNotFound {
                        key: key_id.clone(),
                        location: access.location().clone(),
                    }));
                }
            }
        }
    };
    if matches {
        Ok(())
    } else {
        Err(Error::Change(ChangeError::ExpectedKeyMismatch { current_key: current.cloned() }))
    }
}
