//! Keys and log groups, and which key can be set on which resource.

use logkey::sandbox::seed::{KeySeed, LogGroupSeed};

use super::*;

const RESULTS: &str = "arn:aws:logs:eu-west-1:111122223333:query-result:*";

#[tokio::test]
async fn setting_and_removing_a_key_is_idempotent() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    for id in ["good", "groups-only", "groups-only"] {
        let send = logs.associate_kms_key().log_group_name(GROUP);
        send.kms_key_id(key(id)).send().await.unwrap();
        let found = running.sandbox().log_group_key(ACCOUNT, REGION, GROUP);
        assert_eq!(found, Some(key(id)));
    }
    for _ in 0..2 {
        let send = logs.disassociate_kms_key().log_group_name(GROUP);
        send.send().await.unwrap();
        assert_eq!(running.sandbox().log_group_key(ACCOUNT, REGION, GROUP), None);
    }
    assert_eq!(running.sandbox().log_group_key(OTHER, REGION, GROUP), None);
}

#[tokio::test]
async fn a_key_that_logs_cannot_use_is_refused_without_the_cause() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    for id in ["closed", "elsewhere", "results-only", "missing"] {
        let send = logs.associate_kms_key().log_group_name(GROUP);
        let (code, message) = error_text(send.kms_key_id(key(id)).send().await);
        assert_eq!(code, "AccessDeniedException", "{id}");
        let text = "The specified KMS key does not exist or is not allowed to be used with Arn \
                    'arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api'";
        assert_eq!(message, text, "{id}");
    }
    assert_eq!(running.sandbox().log_group_key(ACCOUNT, REGION, GROUP), None);
}

#[tokio::test]
async fn an_aws_managed_key_cannot_be_set() {
    let managed = KeySeed {
        id: "managed".to_owned(),
        region: REGION.to_owned(),
        manager: Some("AWS".to_owned()),
        ..KeySeed::default()
    };
    let sandbox = Sandbox::builder().account(ACCOUNT, |a| populate(a).key_with(managed));
    let running = sandbox.build().unwrap().start().await.unwrap();
    let send = logs(&running).await.associate_kms_key().log_group_name(GROUP);
    let (code, message) = error_text(send.kms_key_id(key("managed")).send().await);
    assert_eq!(code, "AccessDeniedException");
    assert!(message.contains("does not exist or is not allowed"), "{message}");
}

#[tokio::test]
async fn the_retention_of_delivery_log_groups_is_two_days() {
    let delivery = |name: &str, days: Option<i64>| LogGroupSeed {
        name: name.to_owned(),
        region: REGION.to_owned(),
        class: Some("DELIVERY".to_owned()),
        retention_days: days,
        ..LogGroupSeed::default()
    };
    let build = |group: LogGroupSeed| {
        Sandbox::builder().account(ACCOUNT, |a| populate(a).log_group_with(group)).build()
    };
    assert!(build(delivery("/delivery", Some(30))).is_err());
    for days in [None, Some(2)] {
        let running = build(delivery("/delivery", days)).unwrap().start().await.unwrap();
        let logs = logs(&running).await;
        let found = logs.describe_log_groups().log_group_name_prefix("/delivery").send().await.unwrap();
        assert_eq!(found.log_groups()[0].retention_in_days(), Some(2));
        let change = logs.put_retention_policy().log_group_name("/delivery").retention_in_days(30);
        assert_eq!(error_text(change.send().await).0, "InvalidParameterException");
    }
}

#[tokio::test]
async fn only_the_arn_of_an_enabled_symmetric_key_in_the_region_is_valid() {
    let with = |id: &str, state: &str, spec: &str| KeySeed {
        id: id.to_owned(),
        region: REGION.to_owned(),
        state: Some(state.to_owned()),
        spec: Some(spec.to_owned()),
        aliases: vec![format!("alias/{id}")],
        ..KeySeed::default()
    };
    let sandbox = Sandbox::builder().without_quotas().account(ACCOUNT, |a| {
        populate(a)
            .key_with(with("off", "Disabled", "SYMMETRIC_DEFAULT"))
            .key_with(with("dying", "PendingDeletion", "SYMMETRIC_DEFAULT"))
            .key_with(with("rsa", "Enabled", "RSA_2048"))
            .key_with(with("fine", "Enabled", "SYMMETRIC_DEFAULT"))
    });
    let running = sandbox.build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    let far = "arn:aws:kms:us-east-1:111122223333:key/far";
    let alias = "arn:aws:kms:eu-west-1:111122223333:alias/fine";
    let (off, dying, rsa) = (key("off"), key("dying"), key("rsa"));
    for name in ["good", "alias/fine", alias, far, &off, &dying, &rsa] {
        let send = logs.associate_kms_key().log_group_name(GROUP);
        let (code, _) = error_text(send.kms_key_id(name).send().await);
        assert_eq!(code, "InvalidParameterException", "{name}");
    }
}

#[tokio::test]
async fn a_request_must_name_one_existing_unreserved_log_group() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    let arn = |name: &str| format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}");
    let (good, star, missing) = (arn(GROUP), arn("/payments/api:*"), arn("/none"));
    let other = good.replace(REGION, "us-east-1");
    let (invalid, not_found) = ("InvalidParameterException", "ResourceNotFoundException");
    for (name, identifier, expected) in [
        (None, Some(good.as_str()), None),
        (None, None, Some(invalid)),
        (Some(GROUP), Some(good.as_str()), Some(invalid)),
        (None, Some(star.as_str()), Some(invalid)),
        (None, Some(other.as_str()), Some(invalid)),
        (None, Some(missing.as_str()), Some(not_found)),
        (Some("/none"), None, Some(not_found)),
        (Some("aws/spans"), None, Some(invalid)),
        (Some("AWS/x"), None, Some(invalid)),
        (Some("a b"), None, Some(invalid)),
    ] {
        let send = logs.associate_kms_key().kms_key_id(key("good"));
        let send = send.set_log_group_name(name.map(str::to_owned));
        let send = send.set_resource_identifier(identifier.map(str::to_owned));
        let result = send.send().await;
        match expected {
            None => assert!(result.is_ok(), "{result:?}"),
            Some(code) => assert_eq!(error_text(result).0, code, "{name:?} {identifier:?}"),
        }
    }
}

#[tokio::test]
async fn the_key_of_query_results_is_visible_only_in_query_results() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    let set = |id: &str| {
        let send = logs.associate_kms_key().resource_identifier(RESULTS);
        send.kms_key_id(key(id)).send()
    };
    assert_eq!(error_text(set("groups-only").await).0, "AccessDeniedException");
    let query = || async {
        let send = logs.start_query().log_group_name(GROUP);
        let send = send.start_time(0).end_time(1).query_string("fields @message");
        let id = send.send().await.unwrap().query_id.unwrap();
        let send = logs.get_query_results().query_id(id);
        send.send().await.unwrap().encryption_key
    };
    assert_eq!(query().await, None);
    set("results-only").await.unwrap();
    assert_eq!(query().await, Some(key("results-only")));
    let send = logs.disassociate_kms_key().resource_identifier(RESULTS);
    send.send().await.unwrap();
    assert_eq!(query().await, None);
}

#[tokio::test]
async fn groups_are_listed_by_page_and_name_and_in_brief_by_pattern() {
    let many = LogGroupSeed {
        name: "/many/{n}".to_owned(),
        region: REGION.to_owned(),
        key: Some("good".to_owned()),
        count: Some(120),
        ..LogGroupSeed::default()
    };
    let sandbox = Sandbox::builder().without_quotas();
    let sandbox = sandbox.account(ACCOUNT, |a| populate(a).log_group_with(many));
    let running = sandbox.build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;

    let send = logs.describe_log_groups().log_group_name_prefix("/many/");
    let mut pages = send.into_paginator().send();
    let mut sizes = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    while let Some(page) = pages.next().await {
        let groups = page.unwrap().log_groups.unwrap();
        sizes.push(groups.len());
        for group in groups {
            assert_eq!(group.kms_key_id, Some(key("good")));
            assert!(group.arn().unwrap().ends_with(":*"));
            assert!(!group.log_group_arn().unwrap().ends_with(":*"));
            names.insert(group.log_group_name.unwrap());
        }
    }
    assert_eq!((sizes, names.len()), (vec![50, 50, 20], 120));

    let send = logs.describe_log_groups().log_group_identifiers("/many/7");
    let send = send.log_group_identifiers("/none");
    let groups = send.send().await.unwrap().log_groups.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].kms_key_id, Some(key("good")));

    let send = logs.describe_log_groups().log_group_name_pattern("ny/11");
    let groups = send.send().await.unwrap().log_groups.unwrap();
    assert_eq!(groups.len(), 11);
    assert!(groups.iter().all(|group| group.kms_key_id.is_none()));
    assert!(groups.iter().all(|group| group.log_group_arn.is_none()));

    let send = logs.describe_log_groups().next_token("made up");
    assert_eq!(error_text(send.send().await).0, "InvalidParameterException");
}

#[tokio::test]
async fn a_key_is_found_by_each_name_and_across_accounts_by_its_policy() {
    let open = r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*",
        "Principal":{"AWS":["arn:aws:iam::111122223333:root","arn:aws:iam::444455556666:root"]}}}"#;
    let sandbox = two_accounts().account("777788889999", |account| {
        account.key(REGION, "shared", open).key_with(KeySeed {
            id: "own".to_owned(),
            region: REGION.to_owned(),
            aliases: vec!["alias/own".to_owned()],
            ..KeySeed::default()
        })
    });
    let running = sandbox.build().unwrap().start().await.unwrap();
    let kms = client!(aws_sdk_kms, running, admin("777788889999"));
    let alias = "arn:aws:kms:eu-west-1:777788889999:alias/own";
    let own = "arn:aws:kms:eu-west-1:777788889999:key/own";
    for name in ["own", own, "alias/own", alias] {
        let answer = kms.describe_key().key_id(name).send().await.unwrap();
        assert_eq!(answer.key_metadata.unwrap().arn.as_deref(), Some(own));
    }
    for name in ["none", "alias/none", "arn:aws:kms:us-east-1:777788889999:key/own"] {
        let result = kms.describe_key().key_id(name).send().await;
        assert_eq!(error_text(result).0, "NotFoundException", "{name}");
    }
    let kms = client!(aws_sdk_kms, running, session(&running).await);
    let shared = "arn:aws:kms:eu-west-1:777788889999:key/shared";
    let answer = kms.describe_key().key_id(shared).send().await.unwrap();
    assert_eq!(answer.key_metadata.unwrap().arn.as_deref(), Some(shared));
    for result in [
        error_text(kms.describe_key().key_id(own).send().await),
        error_text(kms.get_key_policy().key_id(shared).send().await),
    ] {
        assert_eq!(result.0, "AccessDeniedException");
    }
    let policy = kms.get_key_policy().key_id("closed").send().await.unwrap();
    assert!(policy.policy().unwrap().contains("kms:*"));
}
