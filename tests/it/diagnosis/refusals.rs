//! Errors after AWS refused a call, each with its remedy, and dry runs that change nothing.

use logkey::proto::{
    AssociateKmsKeyRequest, DisassociateKmsKeyRequest, DisassociateKmsKeyResponse, associate_kms_key_request,
    disassociate_kms_key_request,
};
use logkey::sandbox::fault::{Effect, Fault};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Outcome, Target, check_on, install, key_with, outcomes, role_with};
use crate::harness::{
    ALL, Caller, GROUP, ORDERS, PAYMENTS, Plan, REGION, Service, key, on_group, reason, tenant,
};

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

fn all_but(denied: &[&str]) -> Value {
    json!([{ "Effect": "Allow", "NotAction": denied, "Resource": "*" }])
}

/// The remedy in an error: as text, and as a policy statement.
fn remedy(status: &Status) -> (String, Option<Value>) {
    let info = status.get_details_error_info().unwrap();
    let document = info.metadata.get("remedy_document").map(|text| serde_json::from_str(text).unwrap());
    let violations = status.get_details_precondition_failure().map(|it| it.violations).unwrap_or_default();
    let advice = violations.into_iter().map(|it| it.description).collect::<Vec<_>>().join("; ");
    (advice, document)
}

#[tokio::test]
async fn a_missing_permission_is_reported_with_the_statement_that_fixes_it() {
    for (lacking, expected) in [
        (
            &["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"][..],
            "ROLE_LACKS_KMS_PERMISSION",
        ),
        (&["logs:AssociateKmsKey"][..], "ROLE_LACKS_LOGS_PERMISSION"),
    ] {
        let service = Service::start().await;
        let caller = service.caller("payments", ALL);
        let mut statements = all_but(lacking);
        install(&service, |account| account.role_with(role_with(&statements)));
        let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, expected),
            "{status:?}"
        );
        let (_, document) = remedy(&status);
        statements.as_array_mut().unwrap().push(document.unwrap());
        install(&service, |account| account.role_with(role_with(&statements)));
        caller.associate(GROUP, &key("good")).await.unwrap();
        service.stop().await;
    }
}

#[tokio::test]
async fn an_error_without_a_statement_explains_what_to_do() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let with = |id: &str, state: Option<&str>, spec: Option<&str>| {
        let mut seed = key_with(id, &[]);
        (seed.state, seed.spec) = (state.map(str::to_owned), spec.map(str::to_owned));
        seed
    };
    install(&service, |account| {
        account
            .key_with(with("off", Some("Disabled"), None))
            .key_with(with("going", Some("PendingDeletion"), None))
            .key_with(with("rsa", None, Some("RSA_2048")))
    });
    for (id, expected) in
        [("off", "KEY_DISABLED"), ("going", "KEY_PENDING_DELETION"), ("rsa", "KEY_NOT_SYMMETRIC")]
    {
        let status = caller.associate(GROUP, &key(id)).await.unwrap_err();
        assert_eq!(reason(&status), expected);
        let (advice, _) = remedy(&status);
        assert!(!advice.is_empty(), "{expected}: {status:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_unexplained_error_carries_the_code_and_message_of_aws() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let unknown_error = Effect::Error {
        code: "InvalidParameterException".into(),
        message: Some("The moon is in the wrong phase.".into()),
        status: None,
    };
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", unknown_error).times(1));
    let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&status), "KEY_NOT_USABLE");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["aws_error_code"], "InvalidParameterException", "{info:?}");
    assert!(info.metadata["aws_message"].contains("wrong phase"), "{info:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_check_finds_a_reserved_log_group() {
    let limits = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let tenants = tenant("payments", PAYMENTS, limits).replace("/payments/*", "aws/*");
    let service = Plan::default().tenants(&tenants).start().await;
    let caller = service.caller("payments", ALL);
    let target = Target::LogGroupName("aws/spans".into());
    let answer = check_on(&caller, target, &key("good")).await;
    let found: Vec<&str> = outcomes(&answer).into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, ["LOG_GROUP_NOT_RESERVED"], "{answer:#?}");
    service.stop().await;
}

#[tokio::test]
async fn every_form_of_key_name_works_and_is_recorded_with_its_arn() {
    let service = Service::start().await;
    let logs = json!({
        "Effect": "Allow",
        "Principal": { "Service": format!("logs.{REGION}.amazonaws.com") },
        "Action": "kms:*",
        "Resource": "*",
    });
    let mut named = key_with(ID, &[logs]);
    named.aliases = vec!["alias/main".to_owned()];
    install(&service, |account| account.key_with(named));
    let caller = service.caller("payments", ALL);
    let alias_arn = format!("arn:aws:kms:{REGION}:{PAYMENTS}:alias/main");
    for reference in [key(ID), alias_arn, "alias/main".to_owned(), ID.to_owned()] {
        let set = caller.associate(GROUP, &reference).await.unwrap().association.unwrap();
        assert_eq!((set.kms_key_arn, set.requested_kms_key_id), (key(ID), reference.clone()));
        let events = service.events().await;
        let outcome = events.iter().rfind(|event| event.kind == "outcome").unwrap();
        assert_eq!(outcome.requested_key.as_ref(), Some(&reference));
        assert_eq!(outcome.resolved_key, Some(key(ID)));
    }
    service.stop().await;
}

#[tokio::test]
async fn a_check_finds_a_missing_log_group() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let answer = check_on(&caller, Target::LogGroupName("/payments/nowhere".into()), &key("good")).await;
    let failed = outcomes(&answer).into_iter().filter(|(_, outcome)| *outcome == Outcome::Failed);
    assert_eq!(failed.map(|(name, _)| name).collect::<Vec<_>>(), ["LOG_GROUP_EXISTS"], "{answer:#?}");
    service.stop().await;
}

async fn dry_run_disassociate(caller: &Caller) -> Result<DisassociateKmsKeyResponse, Status> {
    let target = disassociate_kms_key_request::Target::LogGroupName(GROUP.into());
    let message =
        DisassociateKmsKeyRequest { target: Some(target), validate_only: true, ..Default::default() };
    caller.keys().disassociate_kms_key(caller.request(message)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_dry_run_of_a_disassociation_runs_its_check_only() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let codes = |answer: DisassociateKmsKeyResponse| -> Vec<String> {
        answer.warnings.into_iter().map(|warning| warning.code).collect()
    };
    let warning_codes = codes(dry_run_disassociate(&caller).await.unwrap());
    assert_eq!(warning_codes[0], "VALIDATED_ONLY");
    assert!(!warning_codes.contains(&"NOT_CHECKED".to_owned()), "{warning_codes:?}");

    install(&service, |account| account.role_with(role_with(&all_but(&["iam:SimulatePrincipalPolicy"]))));
    let warning_codes = codes(dry_run_disassociate(&caller).await.unwrap());
    assert!(warning_codes.contains(&"NOT_CHECKED".to_owned()), "{warning_codes:?}");

    install(&service, |account| account.role_with(role_with(&all_but(&["logs:DisassociateKmsKey"]))));
    let status = dry_run_disassociate(&caller).await.unwrap_err();
    assert_eq!(reason(&status), "ROLE_LACKS_LOGS_PERMISSION");
    assert!(remedy(&status).1.is_some(), "{status:?}");
    assert_eq!(service.reached("DisassociateKmsKey").len(), 0);
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));
    service.stop().await;
}

#[tokio::test]
async fn errors_of_aws_that_last_until_the_deadline_keep_their_reason() {
    let aborted = || Effect::Error { code: "OperationAbortedException".into(), message: None, status: None };
    let failing =
        || Effect::Error { code: "ServiceUnavailableException".into(), message: None, status: Some(500) };
    for (effect, code, expected) in [
        (Effect::Throttle, Code::ResourceExhausted, "AWS_THROTTLED"),
        (aborted(), Code::Aborted, "CONFLICTING_CHANGE"),
        (failing(), Code::Unavailable, "AWS_UNAVAILABLE"),
    ] {
        let service = Service::start().await;
        service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", effect));
        let caller = service.caller("payments", ALL);
        let mut request = caller.request(on_group(GROUP, &key("good")));
        request.set_timeout(std::time::Duration::from_secs(2));
        let status = caller.keys().associate_kms_key(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
        assert!(service.reached("AssociateKmsKey").len() > 1, "the service retries before the deadline");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_deadline_during_assume_role_is_reported_as_before_aws() {
    let service = Service::start().await;
    service.sandbox.sandbox().fault(Fault::on("AssumeRole", Effect::Hang));
    let caller = service.caller("payments", ALL);
    let mut request = caller.request(on_group(GROUP, &key("good")));
    request.set_timeout(std::time::Duration::from_secs(1));
    let status = caller.keys().associate_kms_key(request).await.unwrap_err();
    let failure = (status.code(), reason(&status));
    assert_eq!(failure, (Code::DeadlineExceeded, "DEADLINE_BEFORE_AWS".to_owned()), "{status:?}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 0);
    // This change waits until it is durable, and the refusal was recorded before it.
    service.sandbox.sandbox().clear_faults();
    let theirs = format!("arn:aws:kms:{REGION}:{ORDERS}:key/good");
    service.caller("orders", ALL).associate("/orders/api", &theirs).await.unwrap();
    let events = service.events().await;
    let refused =
        events.iter().find(|event| event.outcome.as_deref() == Some("DEADLINE_BEFORE_AWS")).unwrap();
    assert_eq!(refused.kind, "refusal", "{refused:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_warning_says_that_query_results_need_their_own_key() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let set = caller.associate(GROUP, &key("good")).await.unwrap();
    let codes: Vec<&str> = set.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert!(codes.contains(&"QUERY_RESULTS_NOT_COVERED"), "{codes:?}");
    let results = format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*");
    let target = associate_kms_key_request::Target::ResourceIdentifier(results);
    let message = AssociateKmsKeyRequest {
        target: Some(target),
        kms_key_id: key("good"),
        ..AssociateKmsKeyRequest::default()
    };
    caller.send(message).await.unwrap();
    let set = caller.associate(GROUP, &key("next")).await.unwrap();
    let codes: Vec<&str> = set.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert!(!codes.contains(&"QUERY_RESULTS_NOT_COVERED"), "{codes:?}");
    service.stop().await;
}
