//! Diagnosis of keys and targets in other partitions, accounts and Regions, and of query results.

use logkey::sandbox::{Sandbox, seed::LogGroupSeed};

use super::*;
use crate::harness::{ORDERS, Plan, tenant};

const SERVICE_ROLE: &str = "assumed-role/LogKeyHub/logkey";

/// A service over an embedded AWS of this partition, with one tenant in this Region.
async fn in_partition(partition: &str, region: &str) -> Service {
    let service_principal = format!("arn:{partition}:sts::999999999999:{SERVICE_ROLE}");
    let aws = Sandbox::builder()
        .without_quotas()
        .service_principal(&service_principal, "AKIASANDBOXHUB")
        .account(PAYMENTS, |account| {
            account
                .role("LogKeyAssociator", "payments-external-id")
                .key(region, "good", "allow-both")
                .key(region, "closed", "lacks-logs")
                .log_group(region, GROUP)
        });
    let generous = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let tenants = tenant("payments", PAYMENTS, generous)
        .replace("arn:aws:", &format!("arn:{partition}:"))
        .replace(REGION, region);
    Plan::default().aws(|_| aws).tenants(&tenants).start().await
}

fn query_results() -> Target {
    Target::ResourceIdentifier(format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*"))
}

#[tokio::test]
async fn every_partition_has_its_own_arns_and_service_names() {
    for (partition, region, suffix) in [
        ("aws-cn", "cn-north-1", "amazonaws.com.cn"),
        ("aws-us-gov", "us-gov-west-1", "amazonaws.com"),
        ("aws-eusc", "eusc-de-east-1", "amazonaws.eu"),
        ("aws-iso-b", "us-isob-east-1", "sc2s.sgov.gov"),
    ] {
        let service = in_partition(partition, region).await;
        let caller = service.caller("payments", ALL);
        let key = |id: &str| format!("arn:{partition}:kms:{region}:{PAYMENTS}:key/{id}");
        let good = check(&caller, &key("good")).await;
        assert_eq!(good.verdict(), Verdict::Ok, "{good:#?}");
        let set = caller.associate(GROUP, &key("good")).await.unwrap().association.unwrap();
        assert_eq!(set.resource_arn, format!("arn:{partition}:logs:{region}:{PAYMENTS}:log-group:{GROUP}"));
        assert_eq!(caller.get(GROUP).await.unwrap().kms_key_arn, key("good"));
        let queries = format!("arn:{partition}:logs:{region}:{PAYMENTS}:query-result:*");
        caller.associate_arn(&queries, &key("good")).await.unwrap();

        let status = caller.associate(GROUP, &key("closed")).await.unwrap_err();
        let info = status.get_details_error_info().unwrap();
        let offered: Value = serde_json::from_str(&info.metadata["remedy_document"]).unwrap();
        assert_eq!(offered["Principal"]["Service"], format!("logs.{region}.{suffix}"));
        let access = test_access(&caller).await;
        assert!(access.iter().all(|(_, outcome)| *outcome == Outcome::Passed), "{access:?}");
        let mut tenants = TenantServiceClient::new(caller.channel());
        let message = GetOnboardingRequest { account_id: PAYMENTS.into() };
        let response = tenants.get_onboarding(caller.request(message)).await.unwrap().into_inner();
        assert!(response.trust_policy.contains(&format!("arn:{partition}:iam::999999999999:role/LogKeyHub")));
        assert!(!response.role_policy.contains("arn:aws:"), "{}", response.role_policy);
        service.stop().await;
    }
}

#[tokio::test]
async fn a_multi_region_key_is_used_by_its_replica_in_the_targets_region() {
    let replica = |region: &str| KeySeed {
        id: "mrk-1234".to_owned(),
        region: region.to_owned(),
        multi_region: true,
        aliases: vec!["alias/everywhere".to_owned()],
        ..KeySeed::default()
    };
    let service = Service::start().await;
    install(&service, |account| account.key_with(replica(REGION)).key_with(replica("us-east-1")));
    let caller = service.caller("payments", ALL);
    let here = format!("arn:aws:kms:{REGION}:{PAYMENTS}:key/mrk-1234");
    for name in [here.as_str(), "mrk-1234", "alias/everywhere"] {
        let good = check(&caller, name).await;
        assert_eq!(
            (good.verdict(), good.resolved_kms_key_arn.as_str()),
            (Verdict::Ok, here.as_str()),
            "{name}"
        );
    }
    let far = format!("arn:aws:kms:us-east-1:{PAYMENTS}:key/mrk-1234");
    assert_eq!(outcomes(&check(&caller, &far).await), [("KEY_REGION", Outcome::Failed)]);
    assert_eq!(reason(&caller.associate(GROUP, &far).await.unwrap_err()), "KEY_REGION_MISMATCH");
    service.stop().await;
}

/// A key in the account of `orders`, with a policy of these statements.
fn shared(id: &str, statements: &[Value]) -> KeySeed {
    KeySeed {
        id: id.to_owned(),
        region: REGION.to_owned(),
        policy: Some(PolicyText::Document(json!({ "Version": "2012-10-17", "Statement": statements }))),
        ..KeySeed::default()
    }
}

#[tokio::test]
async fn a_key_of_another_account_works_and_its_unreadable_parts_are_named() {
    let partner = json!({ "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{PAYMENTS}:root") }, "Action": "kms:*", "Resource": "*" });
    let logs = json!({
        "Effect": "Allow",
        "Principal": { "Service": format!("logs.{REGION}.amazonaws.com") },
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": "*",
        "Condition": { "ArnLike": { "kms:EncryptionContext:aws:logs:arn": format!("arn:aws:logs:{REGION}:{PAYMENTS}:*") } },
    });
    let generous = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let tenants = tenant("payments", PAYMENTS, generous).replace(&format!("kms:*:{PAYMENTS}"), "kms:*:*");
    let service = Plan::default().tenants(&tenants).start().await;
    let account = AccountSeed { account_id: ORDERS.to_owned(), ..AccountSeed::default() };
    let account = account
        .key_with(shared("open", &[partner.clone(), logs]))
        .key_with(shared("half", &[partner]))
        .key_with(shared("shut", &[]));
    service.sandbox.sandbox().apply(&Seed { accounts: vec![account], ..Seed::default() }).unwrap();
    let caller = service.caller("payments", ALL);
    let key = |id: &str| format!("arn:aws:kms:{REGION}:{ORDERS}:key/{id}");
    let unseen = ["KEY_POLICY", "ROLE_KMS_PERMISSION"].map(|name| (name, Outcome::NotChecked));
    for id in ["open", "half"] {
        let answer = check(&caller, &key(id)).await;
        assert_eq!(
            (answer.verdict(), outcomes(&answer)),
            (Verdict::Uncertain, unseen.to_vec()),
            "{answer:#?}"
        );
    }
    caller.associate(GROUP, &key("open")).await.unwrap();
    let refused = caller.associate(GROUP, &key("half")).await.unwrap_err();
    assert_eq!(reason(&refused), "KEY_POLICY_LACKS_LOGS_SERVICE");
    assert_eq!(outcomes(&check(&caller, &key("shut")).await), [("KEY_EXISTS", Outcome::NotChecked)]);
    service.stop().await;
}

#[tokio::test]
async fn query_results_are_checked_by_their_own_rules() {
    let service = Service::start().await;
    install(&service, |account| {
        account.key(REGION, "groups", "allow-logs").key(REGION, "results", "allow-query-results")
    });
    let caller = service.caller("payments", ALL);
    let not_checked = [("CURRENT_ASSOCIATION", Outcome::NotChecked)];
    let good = check_on(&caller, query_results(), &key("results")).await;
    assert_eq!((good.verdict(), outcomes(&good)), (Verdict::Uncertain, not_checked.to_vec()), "{good:#?}");
    let wrong = check_on(&caller, query_results(), &key("groups")).await;
    assert_eq!(outcomes(&wrong), [not_checked[0], ("KEY_POLICY", Outcome::Failed)]);
    let results = format!("arn:aws:logs:{REGION}:{PAYMENTS}:query-result:*");
    caller.associate_arn(&results, &key("results")).await.unwrap();
    let checks = check_on(&caller, query_results(), &key("results")).await;
    assert_eq!(checks.verdict(), Verdict::Ok, "the service knows the key that it set: {checks:#?}");
    let group = Target::LogGroupName(GROUP.into());
    assert_eq!(outcomes(&check_on(&caller, group, &key("results")).await), [("KEY_POLICY", Outcome::Failed)]);
    let log_groups_only = json!([
        { "Effect": "Allow", "Action": ["logs:DescribeLogGroups", "kms:*", "iam:*"], "Resource": "*" },
        { "Effect": "Allow", "Action": "logs:*", "Resource": format!("arn:aws:logs:*:{PAYMENTS}:log-group:*") },
    ]);
    install(&service, |account| account.role_with(role_with(&log_groups_only)));
    let lacking = check_on(&caller, query_results(), &key("results")).await;
    assert_eq!(outcomes(&lacking), [("ROLE_LOGS_PERMISSION", Outcome::Failed)], "{lacking:#?}");
    service.stop().await;
}

#[tokio::test]
async fn every_unusable_key_and_log_group_class_is_reported() {
    let with = |id: &str, change: fn(&mut KeySeed)| {
        let mut seed = KeySeed { id: id.to_owned(), region: REGION.to_owned(), ..KeySeed::default() };
        change(&mut seed);
        seed
    };
    let delivery = LogGroupSeed {
        name: "/payments/delivery".to_owned(),
        region: REGION.to_owned(),
        class: Some("DELIVERY".to_owned()),
        ..LogGroupSeed::default()
    };
    let service = Service::start().await;
    install(&service, |account| {
        account
            .key_with(with("off", |key| key.state = Some("Disabled".into())))
            .key_with(with("going", |key| key.state = Some("PendingDeletion".into())))
            .key_with(with("importing", |key| key.state = Some("PendingImport".into())))
            .key_with(with("rsa", |key| key.spec = Some("RSA_2048".into())))
            .key_with(with("mac", |key| key.usage = Some("GENERATE_VERIFY_MAC".into())))
            .key_with(with("awss", |key| key.manager = Some("AWS".into())))
            .log_group_with(delivery)
    });
    let caller = service.caller("payments", ALL);
    for (id, name, expected) in [
        ("off", "KEY_STATE", "KEY_DISABLED"),
        ("going", "KEY_STATE", "KEY_PENDING_DELETION"),
        ("importing", "KEY_STATE", "KEY_NOT_USABLE"),
        ("rsa", "KEY_SPEC", "KEY_NOT_SYMMETRIC"),
        ("mac", "KEY_USAGE", "KEY_NOT_SYMMETRIC"),
        ("awss", "KEY_MANAGER", "KEY_NOT_CUSTOMER_MANAGED"),
        ("none", "KEY_EXISTS", "KEY_NOT_FOUND"),
    ] {
        let answer = check(&caller, &key(id)).await;
        assert_eq!(outcomes(&answer), [(name, Outcome::Failed)], "{id}: {answer:#?}");
        let validated = AssociateKmsKeyRequest { validate_only: true, ..on_group(GROUP, &key(id)) };
        assert_eq!(reason(&caller.send(validated).await.unwrap_err()), expected, "{id}");
        // AWS refuses a key that it manages itself; the embedded AWS does not.
        if id != "awss" {
            assert_eq!(reason(&caller.associate(GROUP, &key(id)).await.unwrap_err()), expected, "{id}");
        }
    }
    let target = Target::LogGroupName("/payments/delivery".into());
    assert_eq!(
        outcomes(&check_on(&caller, target, &key("good")).await),
        [("LOG_GROUP_CLASS", Outcome::NotChecked)]
    );
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), None);
    service.stop().await;
}
