//! Converts a diagnosis to the response of `CheckKeyAssociation`.

use crate::{
    domain::diagnosis::{Check, Diagnosis, Outcome, Verdict},
    proto,
};

pub(in crate::server) fn check_response(diagnosis: Diagnosis) -> proto::CheckKeyAssociationResponse {
    proto::CheckKeyAssociationResponse {
        verdict: verdict(&diagnosis).into(),
        checks: diagnosis.checks.into_iter().map(check).collect(),
        resolved_kms_key_arn: diagnosis.key.map_or_else(String::new, |key| key.to_string()),
    }
}

pub(super) fn verdict(diagnosis: &Diagnosis) -> proto::Verdict {
    match diagnosis.verdict() {
        Verdict::Ok => proto::Verdict::Ok,
        Verdict::WouldFail => proto::Verdict::WouldFail,
        Verdict::Uncertain => proto::Verdict::Uncertain,
    }
}

pub(super) fn check(check: Check) -> proto::Check {
    let reason = check.reason().map_or_else(String::new, |reason| reason.as_str().to_owned());
    let Check { name, outcome, detail, remedy, document, cause } = check;
    proto::Check {
        name: name.as_str().to_owned(),
        outcome: match outcome {
            Outcome::Passed => proto::Outcome::Passed,
            Outcome::Failed(_) => proto::Outcome::Failed,
            Outcome::NotChecked => proto::Outcome::NotChecked,
        }
        .into(),
        detail,
        remedy,
        remedy_document: document.map_or_else(String::new, Into::into),
        reason,
        cause: cause.map_or_else(String::new, Into::into),
    }
}
