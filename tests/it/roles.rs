//! The roles of many accounts through the whole service. Each is assumed once, and again when its settings
//! change.

use logkey::{
    proto::AssociateKmsKeyRequest,
    sandbox::{
        Sandbox,
        seed::{AccountSeed, RoleSeed, Seed},
    },
};

use crate::harness::{
    ALL, AccountText, GROUP, ORDERS, PAYMENTS, Plan, REGION, Service, SettingsText, key, on_group, tenant,
};

const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
/// More accounts than the SDK's identity cache holds, which is 64.
const ACCOUNTS: u64 = 80;

#[tokio::test]
async fn more_roles_than_the_sdk_caches_are_assumed_once_each() {
    let id = |n: u64| format!("{:012}", 300_000_000_000 + n);
    let mut aws = Sandbox::builder().without_quotas();
    let mut tenants = SettingsText::default().tenant("payments", &format!("limits = {LIMITS}\n"));
    for n in 0..ACCOUNTS {
        let account = id(n);
        aws = aws.account(&account, |seed| {
            seed.role("LogKeyAssociator", "payments-external-id")
                .key(REGION, "good", "allow-both")
                .log_group(REGION, GROUP)
        });
        let kms_keys = format!("arn:aws:kms:*:{account}:key/*");
        let account =
            AccountText { tenant: "payments", account: &account, region: REGION, kms_keys: &kms_keys };
        tenants = tenants.account(&account, "");
    }
    let service = Plan::default().aws(|_| aws).tenants(&tenants.to_string()).start().await;
    let caller = service.caller("payments", ALL);
    for _ in 0..2 {
        for account in (0..ACCOUNTS).map(id) {
            let key = format!("arn:aws:kms:{REGION}:{account}:key/good");
            let message = AssociateKmsKeyRequest { account_id: account, ..on_group(GROUP, &key) };
            caller.send(message).await.unwrap();
        }
    }
    assert_eq!(service.reached("AssociateKmsKey").len(), 2 * usize::try_from(ACCOUNTS).unwrap());
    assert_eq!(service.reached("AssumeRole").len(), usize::try_from(ACCOUNTS).unwrap());
    service.stop().await;
}

#[tokio::test]
async fn a_session_survives_a_reload_but_not_a_changed_external_id() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let unchanged = tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS);
    service.reload(&unchanged).await;
    caller.associate(GROUP, &key("next")).await.unwrap();
    assert_eq!(service.reached("AssumeRole").len(), 1);

    let role = RoleSeed {
        name: "LogKeyAssociator".to_owned(),
        external_id: Some("another-external-id".to_owned()),
        ..RoleSeed::default()
    };
    let account = AccountSeed { account_id: PAYMENTS.to_owned(), ..AccountSeed::default() }.role_with(role);
    let seed = Seed { accounts: vec![account], ..Seed::default() };
    service.sandbox.sandbox().apply(&seed).unwrap();
    service.reload(&unchanged.replace("payments-external-id", "another-external-id")).await;
    caller.associate(GROUP, &key("good")).await.unwrap();
    assert_eq!(service.reached("AssumeRole").len(), 2);
    service.stop().await;
}
