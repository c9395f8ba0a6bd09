//! Quotas, injected faults, and the journal of calls.

use std::time::Duration;

use logkey::sandbox::{
    call_log::Outcome,
    fault::{Effect, Fault},
};

use super::*;

async fn associate(logs: &aws_sdk_cloudwatchlogs::Client) -> Result<(), (String, String)> {
    let send = logs.associate_kms_key().log_group_name(GROUP);
    match send.kms_key_id(key("good")).send().await {
        Err(error) if error.as_service_error().is_none() => Err(("no answer".to_owned(), String::new())),
        Err(error) => Err(error_text(Err::<(), _>(error))),
        Ok(_) => Ok(()),
    }
}

fn error(code: &str, message: &str) -> Effect {
    Effect::Error { code: code.to_owned(), message: Some(message.to_owned()), status: None }
}

#[tokio::test]
async fn the_sixth_association_in_a_second_is_throttled_in_that_account_only() {
    let fixed_time = jiff::Timestamp::UNIX_EPOCH;
    let sandbox = Sandbox::builder()
        .clock(logkey::sandbox::clock::Clock::from_fn(move || fixed_time))
        .account(ACCOUNT, populate)
        .account(OTHER, populate);
    let running = sandbox.build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    for _ in 0..5 {
        associate(&logs).await.unwrap();
    }
    let refused = associate(&logs).await.unwrap_err();
    let throttled = ("ThrottlingException", "Rate exceeded");
    assert_eq!((refused.0.as_str(), refused.1.as_str()), throttled);
    let other = client!(aws_sdk_cloudwatchlogs, running, admin(OTHER));
    let send = other.associate_kms_key().log_group_name(GROUP);
    let arn = key("good").replace(ACCOUNT, OTHER);
    send.kms_key_id(arn).send().await.unwrap();
}

#[tokio::test]
async fn a_fault_affects_only_matching_calls_and_only_the_given_number() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    let text = "A conflicting operation is currently in progress against this resource. Please try again.";
    let aborted = error("OperationAbortedException", text);
    let fault = Fault::on("AssociateKmsKey", aborted);
    running.sandbox().fault(fault.times(2).in_account(ACCOUNT));
    for _ in 0..2 {
        let send = logs.associate_kms_key().log_group_name(GROUP);
        let error = send.kms_key_id(key("good")).send().await.unwrap_err();
        assert!(error.into_service_error().is_operation_aborted_exception());
    }
    logs.describe_log_groups().send().await.unwrap();
    associate(&logs).await.unwrap();
    let active = running.sandbox().faults();
    assert_eq!((active[0].matches_seen, active[0].affected), (3, 2));
}

#[tokio::test]
async fn an_interrupted_call_takes_effect_only_if_the_fault_acts_after_it() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let sandbox = running.sandbox();
    let logs = logs(&running).await;
    let unavailable = || error("ServiceUnavailableException", "Service unavailable");
    for effect in [Effect::Reset, Effect::Garbage, unavailable()] {
        for after in [false, true] {
            let fault = Fault::on("AssociateKmsKey", effect.clone()).times(1);
            sandbox.clear_faults();
            sandbox.fault(if after { fault.after() } else { fault });
            let send = logs.disassociate_kms_key().log_group_name(GROUP);
            send.send().await.unwrap();
            // The SDK expects an empty response, so it does not notice garbage.
            let answer = associate(&logs).await;
            assert_eq!(answer.is_err(), effect != Effect::Garbage, "{effect:?}");
            let found = sandbox.log_group_key(ACCOUNT, REGION, GROUP);
            assert_eq!(found.is_some(), after, "{effect:?}");
            let journal = sandbox.journal();
            let entry = journal.last().unwrap();
            assert_eq!(entry.outcome == Outcome::Executed, after, "{effect:?}");
            assert_eq!(entry.faults.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_hanging_call_is_in_the_journal_and_never_answered() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    running.sandbox().fault(Fault::on("AssociateKmsKey", Effect::Hang));
    let waited = tokio::time::timeout(Duration::from_millis(200), associate(&logs)).await;
    assert!(waited.is_err());
    let journal = running.sandbox().journal();
    let entry = journal.last().unwrap();
    assert_eq!(entry.operation, "AssociateKmsKey");
    assert_eq!((&entry.outcome, entry.answered), (&Outcome::Received, false));
}

#[tokio::test]
async fn slow_responses_arrive_complete() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    let drip = Effect::Drip { bytes: 64, every_ms: 1 };
    let latency = Effect::Latency { ms: 5, jitter_ms: 5 };
    running.sandbox().fault(Fault::on("DescribeLogGroups", drip));
    running.sandbox().fault(Fault::on("DescribeLogGroups", latency));
    let answer = logs.describe_log_groups().send().await.unwrap();
    assert_eq!(answer.log_groups().len(), 2);
}

#[tokio::test]
async fn half_a_response_is_an_error() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    running.sandbox().fault(Fault::on("DescribeLogGroups", Effect::Truncate).times(1));
    let error = logs.describe_log_groups().send().await.unwrap_err();
    assert!(error.as_service_error().is_none(), "{error:?}");
    logs.describe_log_groups().send().await.unwrap();
}

#[tokio::test]
async fn issued_credentials_can_be_expired_or_claim_another_account() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let sandbox = running.sandbox();
    sandbox.fault(Fault::on("AssumeRole", Effect::ExpiredCredentials).times(1));
    let expired = logs(&running).await.describe_log_groups().send().await;
    assert_eq!(error_text(expired).0, "ExpiredTokenException");
    sandbox.fault(Fault::on("AssumeRole", Effect::WrongAccount(OTHER.to_owned())));
    let answer = assume_role(&running).await;
    assert!(answer.assumed_role_user.unwrap().arn.contains(OTHER));
}

#[tokio::test]
async fn the_journal_names_callers_and_keeps_no_external_id() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    associate(&logs).await.unwrap();
    let send = logs.associate_kms_key().log_group_name("/none");
    let refused = send.kms_key_id(key("good")).send().await.unwrap_err();
    let json = serde_json::to_string(&running.sandbox().journal()).unwrap();
    assert!(!json.contains(EXTERNAL_ID), "{json}");

    let journal = running.sandbox().journal();
    let [assumed, set, failed] = journal.as_slice() else {
        panic!("{journal:?}");
    };
    assert_eq!((assumed.sequence, set.sequence, failed.sequence), (1, 2, 3));
    assert_eq!(assumed.external_id, Some(true));
    assert_eq!(assumed.account, ACCOUNT);
    for entry in [assumed, set, failed] {
        assert_eq!(entry.role.as_deref(), Some("Associator"));
        assert_eq!(entry.session_name.as_deref(), Some("payments"));
        assert!(entry.answered && entry.invocation_id.is_some());
    }
    assert_eq!(set.params["logGroupName"], GROUP);
    assert_eq!(set.outcome, Outcome::Executed);
    let Outcome::Refused { code, .. } = &failed.outcome else {
        panic!("{failed:?}");
    };
    assert_eq!(code, "ResourceNotFoundException");
    let raw = refused.raw_response().unwrap();
    let header = raw.headers().get("x-amzn-requestid");
    assert_eq!(header, Some(failed.request_id.as_str()));
    assert_eq!(raw.headers().get("x-logkey-sandbox"), Some("1"));
}
