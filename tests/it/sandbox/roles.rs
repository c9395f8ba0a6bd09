//! Trust policies, and the credentials and permissions of sessions.

use logkey::sandbox::{
    Sandbox,
    clock::Clock,
    seed::{AccountSeed, RoleSeed},
};

use super::*;

async fn assume(
    running: &Running,
    role: &str,
    external_id: Option<&str>,
) -> Result<
    aws_sdk_sts::operation::assume_role::AssumeRoleOutput,
    SdkError<aws_sdk_sts::operation::assume_role::AssumeRoleError, HttpResponse>,
> {
    client!(aws_sdk_sts, running, service_principal())
        .assume_role()
        .role_arn(role)
        .role_session_name("payments")
        .set_external_id(external_id.map(str::to_owned))
        .source_identity("alice")
        .send()
        .await
}

#[tokio::test]
async fn a_role_can_be_assumed_only_with_its_external_id() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let answer = assume(&running, ROLE, Some(EXTERNAL_ID)).await.unwrap();
    let user = answer.assumed_role_user.unwrap();
    let arn = "arn:aws:sts::111122223333:assumed-role/Associator/payments";
    assert_eq!(user.arn, arn);
    assert_eq!(answer.source_identity.as_deref(), Some("alice"));
    let none = "arn:aws:iam::111122223333:role/None";
    for (role, external_id) in [(ROLE, None), (ROLE, Some("another-id")), (none, Some(EXTERNAL_ID))] {
        let (code, message) = error_text(assume(&running, role, external_id).await);
        assert_eq!(code, "AccessDenied");
        assert_eq!(
            message,
            format!(
                "User: arn:aws:sts::999999999999:assumed-role/LogKeyHub/logkey is not authorized \
                 to perform: sts:AssumeRole on resource: {role}"
            )
        );
    }
}

#[tokio::test]
async fn get_caller_identity_names_the_session() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let sts = client!(aws_sdk_sts, running, session(&running).await);
    let caller = sts.get_caller_identity().send().await.unwrap();
    assert_eq!(caller.account(), Some(ACCOUNT));
    let arn = "arn:aws:sts::111122223333:assumed-role/Associator/payments";
    assert_eq!(caller.arn(), Some(arn));
}

#[tokio::test]
async fn unknown_or_expired_credentials_get_the_error_of_each_service() {
    let start = jiff::Timestamp::UNIX_EPOCH;
    let hours = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock_hours = std::sync::Arc::clone(&hours);
    let clock = Clock::from_fn(move || {
        let hours = clock_hours.load(std::sync::atomic::Ordering::SeqCst);
        start + jiff::SignedDuration::from_hours(hours)
    });
    let running = two_accounts().clock(clock).build().unwrap();
    let running = running.start().await.unwrap();
    let session = session(&running).await;
    let with = |credentials: Credentials| client!(aws_sdk_cloudwatchlogs, running, credentials);
    with(session.clone()).describe_log_groups().send().await.unwrap();

    let unknown = credentials("ASIAUNKNOWN", Some("token"));
    let (code, _) = error_text(with(unknown.clone()).describe_log_groups().send().await);
    assert_eq!(code, "UnrecognizedClientException");
    let mixed = credentials(session.access_key_id(), Some("another-token"));
    let (code, _) = error_text(with(mixed).describe_log_groups().send().await);
    assert_eq!(code, "UnrecognizedClientException");
    let sts = client!(aws_sdk_sts, running, unknown);
    let (code, _) = error_text(sts.get_caller_identity().send().await);
    assert_eq!(code, "InvalidClientTokenId");

    let token = session.session_token().map(str::to_owned);
    let forged = Credentials::new(session.access_key_id(), "another-secret", token, None, "test");
    let (code, _) = error_text(with(forged.clone()).describe_log_groups().send().await);
    assert_eq!(code, "InvalidSignatureException");
    let sts = client!(aws_sdk_sts, running, forged);
    let (code, _) = error_text(sts.get_caller_identity().send().await);
    assert_eq!(code, "SignatureDoesNotMatch");

    hours.store(1, std::sync::atomic::Ordering::SeqCst);
    let (code, _) = error_text(with(session.clone()).describe_log_groups().send().await);
    assert_eq!(code, "ExpiredTokenException");
    let sts = client!(aws_sdk_sts, running, session);
    let (code, _) = error_text(sts.get_caller_identity().send().await);
    assert_eq!(code, "ExpiredToken");
}

#[tokio::test]
async fn a_chained_session_is_short_and_its_policy_restricts_it() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let sts = client!(aws_sdk_sts, running, service_principal());
    let send = || sts.assume_role().role_arn(ROLE).role_session_name("payments").external_id(EXTERNAL_ID);
    let (code, message) = error_text(send().duration_seconds(7200).send().await);
    assert_eq!(code, "ValidationError");
    assert!(message.contains("role chaining"), "{message}");
    let (code, _) = error_text(send().policy("{").send().await);
    assert_eq!(code, "MalformedPolicyDocument");

    let policy = r#"{"Statement":{"Effect":"Allow","Action":"logs:Describe*","Resource":"*"}}"#;
    let answer = send().policy(policy).send().await.unwrap();
    let issued = answer.credentials.unwrap();
    let narrow = issued_credentials(&issued);
    let logs = client!(aws_sdk_cloudwatchlogs, running, narrow);
    logs.describe_log_groups().send().await.unwrap();
    let send = logs.associate_kms_key().log_group_name(GROUP);
    let (code, message) = error_text(send.kms_key_id(key("good")).send().await);
    assert_eq!(code, "AccessDeniedException");
    let end = "because no session policy allows the logs:AssociateKmsKey action";
    assert!(message.ends_with(end), "{message}");
}

#[tokio::test]
async fn a_refusal_names_the_policy_that_denied_the_action() {
    let role = |account: AccountSeed, role: RoleSeed| {
        account.role_with(RoleSeed {
            name: "Associator".to_owned(),
            external_id: Some(EXTERNAL_ID.to_owned()),
            ..role
        })
    };
    let actions = |list: &[&str]| list.iter().map(|&action| action.to_owned()).collect();
    let without_kms = RoleSeed { permissions: Some(actions(&["logs:*"])), ..RoleSeed::default() };
    let without_logs = RoleSeed { permissions: Some(actions(&["kms:*"])), ..RoleSeed::default() };
    let denied =
        RoleSeed { denied_by_organization: actions(&["logs:AssociateKmsKey"]), ..RoleSeed::default() };
    for (seed, parts) in [
        (
            without_kms,
            [
                "is not authorized to perform: kms:Encrypt on resource: arn:aws:kms:eu-west-1:111122223333:key/good",
                "because no identity-based policy allows the kms:Encrypt action",
            ],
        ),
        (
            without_logs,
            [
                "is not authorized to perform: logs:AssociateKmsKey on resource: \
                 arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api:log-stream:",
                "because no identity-based policy allows the logs:AssociateKmsKey action",
            ],
        ),
        (
            denied,
            [
                "User: arn:aws:sts::111122223333:assumed-role/Associator/payments is not",
                "with an explicit deny in a service control policy",
            ],
        ),
    ] {
        let sandbox = Sandbox::builder().account(ACCOUNT, |account| {
            role(account, seed).key(REGION, "good", "allow-logs").log_group(REGION, GROUP)
        });
        let running = sandbox.build().unwrap().start().await.unwrap();
        let send = logs(&running).await.associate_kms_key();
        let send = send.log_group_name(GROUP).kms_key_id(key("good"));
        let (code, message) = error_text(send.send().await);
        assert_eq!(code, "AccessDeniedException");
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
        let sandbox = running.sandbox();
        assert_eq!(sandbox.log_group_key(ACCOUNT, REGION, GROUP), None);
    }
}
