//! `logkey onboarding` prints the same as the service's `GetOnboarding`.

use std::{path::Path, process::Output};

use logkey::{
    proto::{GetOnboardingRequest, tenant_service_client::TenantServiceClient},
    sandbox::fault::{Effect, Fault},
};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::{
    harness::{ALL, PAYMENTS, Service},
    process::logkey,
};

/// The output of the subcommand, with the service identity's credentials in the environment.
async fn onboarding(config: &Path, account: &str, more: &[&str]) -> Output {
    let mut command = logkey(&["onboarding", "payments", account, "--config", config.to_str().unwrap()]);
    command
        .args(more)
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn without_a_service_role_the_command_asks_sts_and_prints_the_same() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let message = GetOnboardingRequest { account_id: PAYMENTS.into() };
    let mut tenants = TenantServiceClient::new(caller.channel());
    let response = tenants.get_onboarding(caller.request(message)).await.unwrap().into_inner();

    let before = service.reached("GetCallerIdentity").len();
    let printed = onboarding(&service.settings(), PAYMENTS, &[]).await;
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    assert_eq!(service.reached("GetCallerIdentity").len(), before + 1);
    let json: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let parsed = |text: &String| serde_json::from_str::<Value>(text).unwrap();
    let parse_all = |texts: &[String]| texts.iter().map(parsed).collect::<Value>();
    assert!(json["key_statements"].as_str().unwrap().contains("own Region"), "{json}");
    assert_eq!(json["trust_policy"], parsed(&response.trust_policy));
    assert_eq!(json["role_policy"], parsed(&response.role_policy));
    assert_eq!(json["log_group_key_statements"], parse_all(&response.log_group_key_statements));
    assert_eq!(json["query_results_key_statements"], parse_all(&response.query_results_key_statements));
    let service_principal = json["trust_policy"]["Statement"][0]["Principal"]["AWS"].as_str().unwrap();
    assert!(
        service_principal.starts_with("arn:aws:iam::") && service_principal.contains(":role/"),
        "expected a role, not a session: {service_principal}"
    );
    for (format, expected) in
        [("terraform", &response.terraform), ("cloudformation", &response.cloudformation)]
    {
        let printed = onboarding(&service.settings(), PAYMENTS, &["--format", format]).await;
        assert_eq!(text(&printed.stdout).trim_end(), expected.trim_end(), "{format}");
    }
    service.stop().await;
}

#[tokio::test]
async fn an_sts_failure_suggests_service_role_and_prints_nothing() {
    let service = Service::start().await;
    service.sandbox.sandbox().fault(Fault::on("GetCallerIdentity", Effect::Throttle));
    let failed = onboarding(&service.settings(), PAYMENTS, &[]).await;
    assert_eq!((failed.status.code(), text(&failed.stdout)), (Some(2), ""));
    assert!(
        text(&failed.stderr).contains("name the service role with --service-role ARN"),
        "{}",
        text(&failed.stderr)
    );
    let named =
        onboarding(&service.settings(), PAYMENTS, &["--service-role", "arn:aws:iam::999999999999:role/Hub"])
            .await;
    assert!(named.status.success() && text(&named.stdout).contains("999999999999:role/Hub"), "{named:?}");
    let other = onboarding(&service.settings(), "999999999999", &[]).await;
    assert_eq!((other.status.code(), text(&other.stdout)), (Some(2), ""));
    assert!(text(&other.stderr).contains("has no account 999999999999"), "{}", text(&other.stderr));
    service.stop().await;
}
