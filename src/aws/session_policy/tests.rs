use proptest::prelude::*;

use super::*;

fn grant(log_groups: &[&str], kms_keys: &[&str]) -> AccountGrant {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    AccountGrant {
        account: "111122223333".parse().unwrap(),
        role: "arn:aws:iam::111122223333:role/Associator".parse().unwrap(),
        external_id: "the-external-id".parse().unwrap(),
        regions: ["eu-west-1".parse().unwrap()].into(),
        log_groups: patterns(log_groups),
        kms_keys: patterns(kms_keys),
        query_results: true,
        verify_query_results: true,
    }
}

fn resources(grant: &AccountGrant, scope: SessionScope, statement: usize) -> Vec<String> {
    let policy: Value = serde_json::from_str(&SessionPolicy::of(grant, scope).json).unwrap();
    serde_json::from_value(policy["Statement"][statement]["Resource"].clone()).unwrap()
}

#[test]
fn a_session_policy_names_the_service_of_its_partition() {
    for (partition, service) in [
        ("aws-cn", "logs.*.amazonaws.com.cn"),
        ("aws-eusc", "logs.*.amazonaws.eu"),
        ("aws-iso", "logs.*.c2s.ic.gov"),
    ] {
        let role = format!("arn:{partition}:iam::111122223333:role/Associator").parse().unwrap();
        let grant = AccountGrant { role, ..grant(&["/a"], &["*"]) };
        let policy = SessionPolicy::of(&grant, SessionScope::LogGroups).json;
        assert!(policy.contains(&format!("\"kms:ViaService\":\"{service}\"")), "{policy}");
    }
}

/// Compares the whole session policy: its actions, resources and conditions. An unintended addition fails.
#[test]
fn a_session_policy_allows_exactly_these_actions() {
    let grant = grant(&["/payments/*", "/one"], &["arn:aws:kms:*:111122223333:key/*"]);
    let reads = ["logs:DescribeLogGroups", "kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListResourceTags"];
    let reads = [&reads[..], &["servicequotas:ListServiceQuotas"]].concat();
    let changes = ["logs:AssociateKmsKey", "logs:DisassociateKmsKey"];
    let through_logs = json!({
        "Effect": "Allow",
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": ["arn:aws:kms:*:111122223333:key/*"],
        "Condition": { "StringLike": { "kms:ViaService": "logs.*.amazonaws.com" } },
    });
    let own = json!({
        "Effect": "Allow",
        "Action": "iam:SimulatePrincipalPolicy",
        "Resource": "arn:aws:iam::111122223333:role/Associator",
    });
    let groups =
        ["/payments/*", "/one", "/one:*"].map(|name| format!("arn:aws:logs:*:111122223333:log-group:{name}"));
    let policy = |reads: &[&str], changes: &[&str], of: &[String]| {
        json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": reads, "Resource": "*" },
            { "Effect": "Allow", "Action": changes, "Resource": of },
            through_logs,
            own,
        ] })
    };
    let of = |grant: &AccountGrant, scope| -> Value {
        serde_json::from_str(&SessionPolicy::of(grant, scope).json).unwrap()
    };
    let verifies = policy(
        &[&reads[..], &["logs:GetQueryResults"]].concat(),
        &[&changes[..], &["logs:StartQuery"]].concat(),
        &groups,
    );
    assert_eq!(of(&grant, SessionScope::LogGroups), verifies);
    let plain = AccountGrant { verify_query_results: false, ..grant.clone() };
    assert_eq!(of(&plain, SessionScope::LogGroups), policy(&reads, &changes, &groups));
    assert_eq!(of(&grant, SessionScope::QueryResults), policy(&reads, &changes, &["*".to_owned()]));
}

#[test]
fn a_session_reaches_the_granted_log_groups_and_keys_only() {
    let grant = grant(&["/payments/*", "/payments/api/*", "/one"], &["arn:aws:kms:*:111122223333:key/*"]);
    let groups = resources(&grant, SessionScope::LogGroups, 1);
    assert_eq!(
        groups,
        ["/payments/*", "/one", "/one:*"].map(|name| format!("arn:aws:logs:*:111122223333:log-group:{name}"))
    );
    assert_eq!(resources(&grant, SessionScope::LogGroups, 2), ["arn:aws:kms:*:111122223333:key/*"]);
    assert_eq!(resources(&grant, SessionScope::QueryResults, 1), ["*"]);
    assert!(grant_fits_session_policy(&grant));
}

#[test]
fn a_session_queries_only_to_verify_and_only_granted_log_groups() {
    let verifies = grant(&["/payments/*"], &["*"]);
    let text = |grant: &AccountGrant, scope| SessionPolicy::of(grant, scope).json;
    let policy: Value = serde_json::from_str(&text(&verifies, SessionScope::LogGroups)).unwrap();
    let groups = &policy["Statement"][1];
    assert_eq!(groups["Action"][2], "logs:StartQuery");
    assert_eq!(groups["Resource"], json!(["arn:aws:logs:*:111122223333:log-group:/payments/*"]));
    assert!(!text(&verifies, SessionScope::QueryResults).contains("Query\""));
    for (query_results, verify_query_results) in [(true, false), (false, true)] {
        let without = AccountGrant { query_results, verify_query_results, ..verifies.clone() };
        assert!(!text(&without, SessionScope::LogGroups).contains("Query"), "{without:?}");
    }
}

#[test]
fn a_repeated_pattern_appears_once() {
    assert_eq!(resources(&grant(&["/a/*", "/a/*"], &["*"]), SessionScope::LogGroups, 1).len(), 1);
}

#[test]
fn a_key_pattern_that_iam_rejects_is_widened() {
    for pattern in ["*:key/abc", "arn:aws:kms:*", "*"] {
        assert_eq!(resources(&grant(&["/a"], &[pattern]), SessionScope::LogGroups, 2), ["*"], "{pattern}");
    }
}

#[test]
fn patterns_that_do_not_fit_are_widened_and_reported() {
    let many: Vec<String> = (0..40).map(|n| format!("/team-{n}/a-rather-long-name/*")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let wide = grant(&many, &["arn:aws:kms:*:111122223333:key/*"]);
    assert!(!grant_fits_session_policy(&wide));
    assert_eq!(resources(&wide, SessionScope::LogGroups, 1), ["arn:aws:logs:*:111122223333:log-group:*"]);
    assert_eq!(resources(&wide, SessionScope::LogGroups, 2), ["arn:aws:kms:*:111122223333:key/*"]);
}

#[test]
fn the_longest_role_leaves_room_for_a_policy() {
    let role = format!("arn:aws:iam::111122223333:role/{}/{}", "p".repeat(1_900), "n".repeat(64));
    let grant = AccountGrant { role: role.parse().unwrap(), ..grant(&["/a"], &["*"]) };
    assert!(SessionPolicy::of(&grant, SessionScope::LogGroups).exact);
}

proptest! {
    #[test]
    fn a_grant_reported_to_fit_fits_exactly(groups in prop::collection::vec("/[a-z]{1,60}", 0..20)) {
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let grant = grant(&groups, &["arn:aws:kms:*:111122223333:key/*"]);
        let exact = [SessionScope::LogGroups, SessionScope::QueryResults]
            .iter()
            .all(|scope| SessionPolicy::of(&grant, *scope).exact);
        prop_assert_eq!(grant_fits_session_policy(&grant), exact);
    }

    #[test]
    fn no_policy_is_longer_than_sts_accepts(
        groups in prop::collection::vec("[a-z/*]{1,300}", 0..30),
        keys in prop::collection::vec("arn:aws:kms:[a-z*]{1,20}:[0-9*]{1,12}:key/[a-f0-9*-]{1,200}", 0..20),
    ) {
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for scope in [SessionScope::LogGroups, SessionScope::QueryResults] {
            let policy = SessionPolicy::of(&grant(&groups, &keys), scope);
            prop_assert!(policy.json.len() <= MAX_POLICY);
        }
    }
}
