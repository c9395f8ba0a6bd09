//! Why AWS refuses: whose matter it is, in a change, in a read, in `CheckKeyAssociation` and in `TestAccess`.

mod denials;
mod service_faults;
mod temporary;
mod trust_policies;

use logkey::{
    proto::{
        Check, CheckKeyAssociationRequest, Outcome, TestAccessRequest, check_key_association_request,
        tenant_service_client::TenantServiceClient,
    },
    sandbox::{
        Sandbox,
        builder::Builder,
        seed::{AccountSeed, PolicyText, RoleSeed, Seed},
    },
};
use serde_json::Value;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::{ALL, Caller, GROUP, ORDERS, PAYMENTS, Plan, REGION, Service, key, reason};

/// The answers of every operation that meets the same refusal.
struct Answers {
    change: Status,
    read: Status,
    check: Check,
    access: Check,
}

/// The first check that failed.
fn failed(checks: Vec<Check>) -> Check {
    let text = format!("{checks:#?}");
    checks.into_iter().find(|check| check.outcome() == Outcome::Failed).unwrap_or_else(|| panic!("{text}"))
}

async fn check(caller: &Caller) -> Check {
    let target = Some(check_key_association_request::Target::LogGroupName(GROUP.into()));
    let message = CheckKeyAssociationRequest { target, kms_key_id: key("good"), ..Default::default() };
    let answer = caller.keys().check_key_association(caller.request(message)).await.unwrap();
    failed(answer.into_inner().checks)
}

async fn test_access(caller: &Caller) -> Check {
    let mut client = TenantServiceClient::new(caller.channel());
    let answer = client.test_access(caller.request(TestAccessRequest::default())).await.unwrap();
    failed(answer.into_inner().checks)
}

async fn answers(service: &Service) -> Answers {
    let caller = service.caller("payments", ALL);
    Answers {
        change: caller.associate(GROUP, &key("good")).await.unwrap_err(),
        read: caller.get(GROUP).await.unwrap_err(),
        check: check(&caller).await,
        access: test_access(&caller).await,
    }
}

impl Answers {
    /// Asserts that every operation has this reason and cause.
    fn assert_all(&self, expected: &str, cause: &str) {
        for status in [&self.change, &self.read] {
            assert_eq!(
                (reason(status).as_str(), metadata(status, "cause").as_str()),
                (expected, cause),
                "{status:?}"
            );
        }
        for check in [&self.check, &self.access] {
            assert_eq!((check.reason.as_str(), check.cause.as_str()), (expected, cause), "{check:?}");
        }
    }

    /// Every text of the answers.
    fn texts(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.change, self.read, self.check, self.access)
    }
}

fn metadata(status: &Status, name: &str) -> String {
    let info = status.get_details_error_info().unwrap();
    info.metadata.get(name).cloned().unwrap_or_default()
}

async fn ready_body(service: &Service) -> (u16, String) {
    let response = reqwest::get(format!("http://{}/readyz", service.admin)).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn account(account: AccountSeed) -> AccountSeed {
    account.key(REGION, "good", "allow-both").log_group(REGION, GROUP)
}

/// The embedded AWS with this role in the account of `payments`.
fn aws_with(role: RoleSeed) -> Builder {
    Sandbox::builder()
        .without_quotas()
        .account(PAYMENTS, |it| account(it).role_with(role))
        .account(ORDERS, |it| it.region(REGION))
}

fn role() -> RoleSeed {
    let external_id = Some("payments-external-id".to_owned());
    RoleSeed { name: "LogKeyAssociator".to_owned(), external_id, ..RoleSeed::default() }
}

async fn start(aws: Builder, settings: &str) -> Service {
    Plan::default().aws(|_| aws).aws_settings(settings).start().await
}

/// Replaces the role while the service runs.
fn install(service: &Service, role: RoleSeed) {
    let account = AccountSeed { account_id: PAYMENTS.to_owned(), ..AccountSeed::default() };
    let seed = Seed { accounts: vec![account.role_with(role)], ..Seed::default() };
    service.sandbox.sandbox().apply(&seed).unwrap();
}

fn text(policy: &Value) -> PolicyText {
    PolicyText::Text(policy.to_string())
}
