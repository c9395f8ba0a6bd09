use super::*;

fn stored(refusal: Refusal, message: &str) -> Option<Failure> {
    let answer =
        AwsErrorDetails { code: "Code".into(), message: message.into(), request_id: Some("id".into()) };
    let stored = of_failure(&Error::Aws(AwsCallError::Refused { refusal, answer }), None)?;
    let RecordedResponse::Refused(failure) = read(&stored).unwrap() else { panic!("{stored:?}") };
    Some(*failure)
}

fn restored(failure: Failure) -> Refusal {
    let Some(Error::Aws(AwsCallError::Refused { refusal, answer })) = failure.restore() else { panic!() };
    assert_eq!((&*answer.code, answer.request_id.as_deref()), ("Code", Some("id")));
    refusal
}

#[test]
fn a_lasting_refusal_survives_storage_unchanged() {
    let message = "not authorized to perform: kms:Encrypt with an explicit deny in a permissions boundary";
    for refusal in REFUSALS.into_iter().chain([Refusal::Denied(AccessDenial::parse(message))]) {
        if let Some(failure) = stored(refusal, message) {
            assert_eq!(restored(failure), refusal);
        }
    }
}

#[test]
fn a_refusal_that_may_pass_is_not_stored() {
    for refusal in [
        Refusal::LogGroupNotFound,
        Refusal::KeyMissingOrNotAllowed,
        Refusal::KeyNotFound,
        Refusal::RegionNotEnabled,
        Refusal::AccountNotSubscribed,
        Refusal::Other,
    ] {
        assert!(stored(refusal, "").is_none(), "{refusal:?}");
    }
}

#[test]
fn a_denial_that_an_earlier_release_stored_can_be_read() {
    for (code, reason) in [
        ("role_lacks_kms", Reason::RoleLacksKmsPermission),
        ("role_lacks_logs", Reason::RoleLacksLogsPermission),
        ("organization", Reason::DeniedByOrganization),
    ] {
        let mut failure = stored(Refusal::Parameter, "").unwrap();
        failure.refusal = Some(code.to_owned());
        assert_eq!(failure.restore().unwrap().reason(), reason);
    }
}

#[test]
fn every_diagnosed_cause_survives_storage_with_its_remedy() {
    for name in CheckName::ALL {
        let check = Check::failed(name, Reason::KeyDisabled, "the detail", "the remedy")
            .with_document("the remedy", &serde_json::json!({ "Effect": "Allow" }))
            .with_cause("A_CAUSE");
        let error = Error::Aws(AwsCallError::Diagnosed {
            cause: Box::new(check.clone()),
            answer: AwsErrorDetails::default(),
            repetition: Repetition::Futile,
        });
        let RecordedResponse::Refused(failure) = read(&of_failure(&error, None).unwrap()).unwrap() else {
            panic!("{name:?}")
        };
        let Some(Error::Aws(AwsCallError::Diagnosed { cause, .. })) = failure.restore() else {
            panic!("{name:?}")
        };
        assert_eq!(*cause, check);
    }
}
