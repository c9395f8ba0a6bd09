//! The embedded AWS, called with the AWS SDK.

mod command;
mod control;
mod faults;
mod key_policy;
mod keys;
mod queues;
mod roles;
mod simulation;

use aws_credential_types::Credentials;
use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_sdk_sts::{error::ProvideErrorMetadata, operation::assume_role::AssumeRoleOutput};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use logkey::sandbox::{Running, Sandbox, builder::Builder, seed::AccountSeed};

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const REGION: &str = "eu-west-1";
const ROLE: &str = "arn:aws:iam::111122223333:role/Associator";
const EXTERNAL_ID: &str = "tenant-external-id";
const GROUP: &str = "/payments/api";

/// Two accounts, each with a role, keys with different policies and two log groups.
fn two_accounts() -> Builder {
    Sandbox::builder().without_quotas().account(ACCOUNT, populate).account(OTHER, populate)
}

fn populate(account: AccountSeed) -> AccountSeed {
    account
        .role("Associator", EXTERNAL_ID)
        .key(REGION, "good", "allow-both")
        .key(REGION, "groups-only", "allow-logs")
        .key(REGION, "results-only", "allow-query-results")
        .key(REGION, "closed", "lacks-logs")
        .key(REGION, "elsewhere", "other-group")
        .key("us-east-1", "far", "allow-both")
        .log_group(REGION, GROUP)
        .log_group(REGION, "/payments/worker")
}

fn key(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}")
}

fn credentials(access_key: &str, token: Option<&str>) -> Credentials {
    Credentials::new(access_key, "secret", token.map(str::to_owned), None, "test")
}

/// The credentials that `AssumeRole` returned.
fn issued_credentials(issued: &aws_sdk_sts::types::Credentials) -> Credentials {
    let token = Some(issued.session_token.clone());
    Credentials::new(&issued.access_key_id, &issued.secret_access_key, token, None, "test")
}

fn service_principal() -> Credentials {
    credentials("AKIASANDBOXHUB", None)
}

fn admin(account: &str) -> Credentials {
    credentials(&format!("AKIAADMIN{account}"), None)
}

/// A client of a service that does not retry.
macro_rules! client {
    ($service:ident, $running:expr, $credentials:expr) => {
        $service::Client::from_conf(
            $service::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static(REGION))
                .endpoint_url($running.endpoint())
                .credentials_provider($credentials)
                .retry_config(RetryConfig::disabled())
                .build(),
        )
    };
}
use client;

/// Assumes [`ROLE`].
async fn assume_role(running: &Running) -> AssumeRoleOutput {
    client!(aws_sdk_sts, running, service_principal())
        .assume_role()
        .role_arn(ROLE)
        .role_session_name("payments")
        .external_id(EXTERNAL_ID)
        .send()
        .await
        .unwrap()
}

/// Assumes [`ROLE`] and returns the session's credentials.
async fn session(running: &Running) -> Credentials {
    let issued = assume_role(running).await.credentials.unwrap();
    issued_credentials(&issued)
}

async fn logs(running: &Running) -> aws_sdk_cloudwatchlogs::Client {
    client!(aws_sdk_cloudwatchlogs, running, session(running).await)
}

/// The error's code and message.
fn error_text<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> (String, String) {
    let error = result.unwrap_err();
    let error = error.as_service_error().unwrap();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(error.code()), text(error.message()))
}
