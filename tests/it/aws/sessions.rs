//! Which role is assumed, with which parameters, and how often.

use logkey::{
    domain::refusal::{
        AccessDenial, AssumeRoleRefusal, DeniedAction, DenyingPolicy, RoleAction, ServiceFault,
    },
    ports::aws::{LogGroups, Refusal},
    sandbox::fault::{Effect, Fault},
};

use super::*;

#[tokio::test]
async fn a_call_uses_the_role_of_the_tenant_with_its_external_id() {
    let env = TestEnv::new().await;
    let response = env.associate(group(GROUP), "good").await;
    let [assumed] = &env.calls("AssumeRole")[..] else { panic!() };
    assert_eq!(assumed.external_id, Some(true));
    assert_eq!(assumed.session_name.as_deref(), Some("logkey-payments"));
    assert_eq!(assumed.source_identity, None);
    assert_eq!(assumed.params["Tags.member.1.Key"], "tenant");
    assert_eq!(assumed.params["Tags.member.1.Value"], "payments");
    let [associated] = &env.calls("AssociateKmsKey")[..] else { panic!() };
    assert_eq!(associated.role.as_deref(), Some("Associator"));
    assert_eq!(response.via.role_arn.as_deref(), Some(env.tenant.accounts[0].role.as_str()));
    assert_eq!(response.via.session_name.as_deref(), associated.session_name.as_deref());
    assert_eq!(response.via.aws_request_ids, [associated.request_id.clone().into_boxed_str()]);
    assert_eq!(*response.result.unwrap().aws_request_id, associated.request_id);
}

#[tokio::test]
async fn a_wrong_external_id_fails_and_is_not_retried_at_once() {
    let env = TestEnv { tenant: tenant("payments", "wrong-external-id"), ..TestEnv::new().await };
    for _ in 0..5 {
        let error = failure(env.associate(group(GROUP), "good").await);
        let UpstreamError::RoleNotAssumable { refusal, answer } = error else { panic!("{error:?}") };
        assert_eq!(refusal, AssumeRoleRefusal::Denied(RoleAction::AssumeRole));
        assert_eq!(&*answer.code, "AccessDenied");
        assert!(answer.message.contains("sts:AssumeRole"), "{}", answer.message);
    }
    assert_eq!(env.calls("AssumeRole").len(), 1);
    assert_eq!(env.calls("AssociateKmsKey").len(), 0);
}

#[tokio::test]
async fn a_session_cannot_reach_log_groups_outside_the_grant() {
    let mut env = TestEnv::new().await;
    let mut narrow = (*env.tenant.accounts[0]).clone();
    narrow.log_groups = vec!["/payments/other/*".parse().unwrap()];
    env.tenant = Arc::new(Tenant { accounts: vec![Arc::new(narrow)], ..(*env.tenant).clone() });
    let error = failure(env.associate(group(GROUP), "good").await);
    let UpstreamError::Refused { refusal, answer } = error else { panic!("{error:?}") };
    let (action, by) = (DeniedAction::Logs, DenyingPolicy::Session);
    let denial = AccessDenial { action, by, explicit: false };
    assert_eq!(refusal, Refusal::Denied(denial), "{answer:?}");
    env.associate(Target::QueryResults, "good").await.result.unwrap();
    assert_eq!(env.calls("AssumeRole").len(), 2);
}

#[tokio::test]
async fn one_session_serves_concurrent_calls() {
    let env = TestEnv::new().await;
    let calls = (0..20).map(|_| env.associate(group(GROUP), "good"));
    for response in futures_util::future::join_all(calls).await {
        response.result.unwrap();
    }
    assert_eq!(env.calls("AssumeRole").len(), 1);
    assert_eq!(env.calls("AssociateKmsKey").len(), 20);
}

#[tokio::test]
async fn two_tenants_with_the_same_role_have_separate_sessions() {
    let mut env = TestEnv::new().await;
    env.associate(group(GROUP), "good").await.result.unwrap();
    env.tenant = tenant("payroll", EXTERNAL_ID);
    let response = env.associate(group(GROUP), "good").await;
    assert_eq!(response.via.session_name.as_deref(), Some("logkey-payroll"));
    assert_eq!(env.calls("AssumeRole").len(), 2);
}

#[tokio::test]
async fn with_attribution_by_subject_the_caller_is_the_source_identity() {
    let by_subject = |config| Config { attribution: SessionTagging::Subject, ..config };
    let mut env = TestEnv::of(one_account(), by_subject).await;
    env.associate(group(GROUP), "good").await.result.unwrap();
    env.subject = "auth0|bob";
    env.associate(group(GROUP), "good").await.result.unwrap();
    let names: Vec<_> = env.calls("AssumeRole").into_iter().map(|entry| entry.source_identity).collect();
    assert_eq!(names[0].as_deref(), Some("payments=alice"));
    for entry in env.calls("AssumeRole") {
        assert_eq!((&entry.session_name, entry.external_id), (&entry.source_identity, Some(true)));
        assert_eq!(entry.params["Tags.member.1.Value"], "payments");
    }
    assert!(names[1].as_deref().unwrap().starts_with("payments=auth0-bob,"), "{names:?}");
}

#[tokio::test]
async fn a_session_of_another_account_is_not_used() {
    let env = TestEnv::new().await;
    env.running.sandbox().fault(Fault::on("AssumeRole", Effect::WrongAccount("999999999999".into())));
    let error = failure(env.associate(group(GROUP), "good").await);
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
    assert_eq!(env.calls("AssociateKmsKey").len(), 0);
}

#[tokio::test]
async fn credentials_that_arrive_expired_are_not_used() {
    let env = TestEnv::new().await;
    env.running.sandbox().fault(Fault::on("AssumeRole", Effect::ExpiredCredentials));
    let error = failure(env.associate(group(GROUP), "good").await);
    assert!(matches!(error, UpstreamError::NotSent(_)), "{error:?}");
    assert_eq!(env.calls("AssociateKmsKey").len(), 0);
}

#[tokio::test]
async fn a_session_that_aws_calls_expired_is_renewed_and_the_call_succeeds() {
    let env = TestEnv::new().await;
    env.associate(group(GROUP), "good").await.result.unwrap();
    let expired = Effect::Error { code: "ExpiredTokenException".into(), message: None, status: None };
    env.running.sandbox().fault(Fault::on("AssociateKmsKey", expired).times(1));
    let response = env.associate(group(GROUP), "good").await;
    response.result.unwrap();
    assert_eq!(response.via.aws_request_ids.len(), 2);
    assert_eq!(env.calls("AssumeRole").len(), 2);
}

#[tokio::test]
async fn transient_throttling_by_sts_is_retried() {
    let env = TestEnv::new().await;
    env.running.sandbox().fault(Fault::on("AssumeRole", Effect::Throttle).times(1));
    env.associate(group(GROUP), "good").await.result.unwrap();
    assert_eq!(env.calls("AssumeRole").len(), 2);
}

#[tokio::test]
async fn persistent_throttling_by_sts_is_reported_as_throttling() {
    let env = TestEnv::new().await;
    env.running.sandbox().fault(Fault::on("AssumeRole", Effect::Throttle));
    let error = failure(env.associate(group(GROUP), "good").await);
    assert!(matches!(error, UpstreamError::StsThrottled { .. }), "{error:?}");
}

#[tokio::test]
async fn a_hanging_sts_delays_a_call_no_longer_than_its_deadline() {
    let env = TestEnv::new().await;
    env.running.sandbox().fault(Fault::on("AssumeRole", Effect::Hang));
    let start = Instant::now();
    let list = env.list();
    let deadline = start + Duration::from_millis(200);
    let response = env.aws.page(list.access(), None, None, deadline).await;
    assert!(matches!(failure(response), UpstreamError::NotSent(_)));
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// A tenant with a grant in the other account, and that account's location.
fn other() -> (Arc<Tenant>, Location) {
    let base = tenant("elsewhere", EXTERNAL_ID);
    let [granted] = &base.accounts[..] else { panic!() };
    let grant = AccountGrant {
        account: OTHER.parse().unwrap(),
        role: format!("arn:aws:iam::{OTHER}:role/Associator").parse().unwrap(),
        ..(**granted).clone()
    };
    let tenant = Tenant { accounts: vec![Arc::new(grant)], ..(*base).clone() };
    (Arc::new(tenant), Location { account: OTHER.parse().unwrap(), region: REGION.parse().unwrap() })
}

#[tokio::test]
async fn failures_in_one_account_do_not_use_up_the_retries_of_another() {
    let mut env = TestEnv::of(one_account().account(OTHER, populate), |config| config).await;
    let fault = |account: &str| Fault::on("AssumeRole", Effect::Throttle).in_account(account);
    env.running.sandbox().fault(fault(ACCOUNT));
    let mut lists = Vec::new();
    for n in 0..200 {
        env.tenant = tenant(&format!("throttled-{n}"), EXTERNAL_ID);
        lists.push(env.list());
    }
    let calls = lists.iter().map(|list| env.aws.page(list.access(), None, None, soon()));
    for response in futures_util::future::join_all(calls).await {
        assert!(matches!(failure(response), UpstreamError::StsThrottled { .. }));
    }
    env.running.sandbox().fault(fault(OTHER).times(2));
    let (tenant, location) = other();
    env.tenant = tenant;
    let list = env.authorized(ListKeyAssociations { location });
    env.aws.page(list.access(), None, None, soon()).await.result.unwrap();
}

#[tokio::test]
async fn a_hanging_account_does_not_delay_others_and_then_fails_fast() {
    let quick = |config| Config {
        timeouts: Timeouts { assume: Duration::from_millis(300), ..Timeouts::default() },
        ..config
    };
    let mut env = TestEnv::of(one_account().account(OTHER, populate), quick).await;
    env.running.sandbox().fault(Fault::on("AssumeRole", Effect::Hang).in_account(ACCOUNT));
    let hanging = env.list();
    let (tenant, location) = other();
    env.tenant = tenant;
    let list = env.authorized(ListKeyAssociations { location });
    let hanging_call = env.aws.page(hanging.access(), None, None, soon());
    let other_call = env.aws.page(list.access(), None, None, soon());
    tokio::pin!(hanging_call);
    tokio::select! {
        biased;
        _ = &mut hanging_call => panic!("the call must hang"),
        response = other_call => drop(response.result.unwrap()),
    }
    assert!(matches!(failure(hanging_call.await), UpstreamError::NotSent(_)));
    let request_count = env.calls("AssumeRole").len();
    let again = env.aws.page(hanging.access(), None, None, soon()).await;
    assert!(matches!(failure(again), UpstreamError::NotSent(_)));
    assert_eq!(env.calls("AssumeRole").len(), request_count, "the failure is cached for a short time");
}

/// An error of STS with this code and message.
fn sts_error(code: &str, message: &str) -> Fault {
    let (code, message) = (code.to_owned(), Some(message.to_owned()));
    Fault::on("AssumeRole", Effect::Error { code, message, status: Some(403) })
}

#[tokio::test]
async fn a_policy_that_is_too_large_with_the_tags_is_shortened_once() {
    let too_large =
        ("PackedPolicyTooLarge", "Packed policy consumes 112% of allotted space, please use smaller policy.");
    let env = TestEnv::new().await;
    env.running.sandbox().fault(sts_error(too_large.0, too_large.1).times(1));
    env.associate(group(GROUP), "good").await.result.unwrap();
    let [full, short] = &env.calls("AssumeRole")[..] else { panic!() };
    let policy = |entry: &call_log::Entry| entry.params["Policy"].as_str().unwrap().to_owned();
    assert!(policy(short).len() < policy(full).len(), "{short:?}");

    let env = TestEnv::new().await;
    env.running.sandbox().fault(sts_error(too_large.0, too_large.1));
    let error = failure(env.associate(group(GROUP), "good").await);
    let UpstreamError::ServiceMisconfigured { fault, .. } = error else { panic!("{error:?}") };
    assert_eq!(fault, ServiceFault::SessionPolicyTooLarge);
    assert_eq!(env.calls("AssumeRole").len(), 2);
}

#[tokio::test]
async fn a_young_session_that_aws_does_not_know_is_kept_for_other_regions() {
    let env = TestEnv::new().await;
    env.associate(group(GROUP), "good").await.result.unwrap();
    let unknown = Effect::Error { code: "UnrecognizedClientException".into(), message: None, status: None };
    env.running.sandbox().fault(Fault::on("AssociateKmsKey", unknown).times(2));
    let young = failure(env.associate(group(GROUP), "good").await);
    assert!(matches!(young, UpstreamError::Refused { refusal: Refusal::RegionNotEnabled, .. }), "{young:?}");
    assert_eq!(env.calls("AssumeRole").len(), 1);
}

#[tokio::test]
async fn refused_credentials_are_the_problem_until_aws_accepts_them() {
    let env = TestEnv::new().await;
    assert_eq!(env.aws.problem(), None);
    let expired = "The security token included in the request is expired";
    env.running.sandbox().fault(sts_error("ExpiredToken", expired).times(1));
    let error = failure(env.associate(group(GROUP), "good").await);
    assert!(
        matches!(error, UpstreamError::ServiceMisconfigured { fault: ServiceFault::CredentialsExpired, .. }),
        "{error:?}"
    );
    assert!(env.aws.problem().unwrap().contains("CREDENTIALS_EXPIRED"));
    env.aws.check_credentials().await;
    assert_eq!(env.aws.problem(), None);
}
