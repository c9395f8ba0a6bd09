//! What narrows an assumed role to what the tenant was granted: the few actions that are used, on its
//! log groups and keys. The role's own policy still bounds it from the other side.

use serde_json::{Value, json};

use crate::domain::{aws::Partition, pattern::Pattern, tenant::AccountGrant};

/// Longest inline session policy (`Policy` in the STS API reference, `AssumeRole`).
const MAX_POLICY: usize = 2048;
/// Characters of a policy beside its patterns, at most, the role's ARN left out.
const FRAME: usize = 800;
/// Characters that a pattern costs beside itself, at most: the ARN before it, quotes and a comma.
const AROUND: usize = 64;
/// Longest role ARN that is named in a policy: a path has 512 characters at most, a name 64.
const MAX_ROLE: usize = 640;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    /// Log groups: setting their keys, and everything that is read.
    LogGroups,
    /// The key of the account's query results. IAM has no resource type for them, so that such a
    /// session cannot be bound to log groups as well: it is a session of its own.
    QueryResults,
}

/// A session policy, and whether it is as narrow as the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionPolicy {
    pub(super) json: String,
    pub(super) exact: bool,
}

/// Whether the grant's patterns fit into a session policy as they are. Where they do not, sessions
/// are narrowed less, and only this service itself holds the tenant to its patterns.
#[must_use]
pub fn grant_fits_session_policy(grant: &AccountGrant) -> bool {
    // A few patterns fit whatever they say; settings may hold many thousand grants.
    let cost = |pattern: &Pattern| 2 * (pattern.as_str().len() + AROUND);
    let patterns = grant.log_groups.iter().chain(&grant.kms_keys).map(cost).sum::<usize>();
    FRAME + grant.role.as_str().len() + patterns <= MAX_POLICY
        || SessionPolicy::of(grant, Reach::LogGroups).exact
            && SessionPolicy::of(grant, Reach::QueryResults).exact
}

// === impl SessionPolicy ===

impl SessionPolicy {
    /// The narrowest policy that fits.
    pub(super) fn of(grant: &AccountGrant, reach: Reach) -> Self {
        let (groups, keys) = (log_groups(grant, reach), keys(grant));
        let all_groups = match reach {
            Reach::LogGroups => vec![group_arn(grant, "*")],
            Reach::QueryResults => groups.clone(),
        };
        let all_keys = vec!["*".to_owned()];
        let exact = document(grant, reach, &groups, &keys);
        if exact.len() <= MAX_POLICY {
            return Self { json: exact, exact: true };
        }
        [(&groups, &all_keys), (&all_groups, &keys)]
            .into_iter()
            .map(|(groups, keys)| document(grant, reach, groups, keys))
            .find(|json| json.len() <= MAX_POLICY)
            .map_or_else(
                || Self { json: document(grant, reach, &all_groups, &all_keys), exact: false },
                |json| Self { json, exact: false },
            )
    }
}

fn document(grant: &AccountGrant, reach: Reach, groups: &[String], keys: &[String]) -> String {
    let verifies = grant.query_results && grant.verify_query_results && reach == Reach::LogGroups;
    // Not bound to patterns: IAM cannot for most, and a key is looked at before it is known whether it
    // is granted.
    let mut reads = vec![
        "logs:DescribeLogGroups",
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        "kms:ListResourceTags",
        "servicequotas:ListServiceQuotas",
    ];
    let mut on_groups = vec!["logs:AssociateKmsKey", "logs:DisassociateKmsKey"];
    if verifies {
        reads.push("logs:GetQueryResults");
        on_groups.push("logs:StartQuery");
    }
    let mut statements = vec![json!({ "Effect": "Allow", "Action": reads, "Resource": "*" })];
    if !groups.is_empty() {
        statements.push(json!({ "Effect": "Allow", "Action": on_groups, "Resource": groups }));
    }
    if !keys.is_empty() {
        statements.push(json!({
            "Effect": "Allow",
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "Resource": keys,
            "Condition": { "StringLike": { "kms:ViaService": "logs.*.amazonaws.com*" } },
        }));
    }
    if grant.role.as_str().len() <= MAX_ROLE {
        statements.push(json!({
            "Effect": "Allow",
            "Action": "iam:SimulatePrincipalPolicy",
            "Resource": grant.role.as_str(),
        }));
    }
    let policy: Value = json!({ "Version": "2012-10-17", "Statement": statements });
    policy.to_string()
}

fn log_groups(grant: &AccountGrant, reach: Reach) -> Vec<String> {
    match reach {
        Reach::QueryResults if grant.query_results => vec!["*".to_owned()],
        Reach::QueryResults => Vec::new(),
        Reach::LogGroups => widest(&grant.log_groups)
            .flat_map(|pattern| {
                let arn = group_arn(grant, pattern);
                // AWS asks about some actions with `:log-stream:` behind the name.
                let inside = (!pattern.ends_with('*')).then(|| format!("{arn}:*"));
                std::iter::once(arn).chain(inside)
            })
            .collect(),
    }
}

/// The patterns over keys. IAM takes whole ARNs or `*`; a pattern of another shape is widened.
fn keys(grant: &AccountGrant) -> Vec<String> {
    let whole = |pattern: &&str| pattern.starts_with("arn:") && pattern.splitn(6, ':').count() == 6;
    let patterns: Vec<&str> = widest(&grant.kms_keys).collect();
    if patterns.iter().all(whole) {
        patterns.into_iter().map(str::to_owned).collect()
    } else {
        vec!["*".to_owned()]
    }
}

/// The patterns that no other one of them covers.
fn widest(patterns: &[Pattern]) -> impl Iterator<Item = &str> {
    let covered = move |at: usize, pattern: &Pattern| {
        let covers = |(by, other): (usize, &Pattern)| {
            other.matches(pattern.as_str()) && (other != pattern || by < at) && by != at
        };
        patterns.iter().enumerate().any(covers)
    };
    let left = patterns.iter().enumerate().filter(move |(at, pattern)| !covered(*at, pattern));
    left.map(|(_, pattern)| pattern.as_str())
}

fn group_arn(grant: &AccountGrant, pattern: &str) -> String {
    let partition: Partition = grant.role.partition();
    format!("arn:{partition}:logs:*:{}:log-group:{pattern}", grant.account)
}

#[cfg(test)]
mod tests {
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

    fn resources(grant: &AccountGrant, reach: Reach, statement: usize) -> Vec<String> {
        let policy: Value = serde_json::from_str(&SessionPolicy::of(grant, reach).json).unwrap();
        serde_json::from_value(policy["Statement"][statement]["Resource"].clone()).unwrap()
    }

    #[test]
    fn a_session_reaches_the_granted_log_groups_and_keys_only() {
        let grant = grant(&["/payments/*", "/payments/api/*", "/one"], &["arn:aws:kms:*:111122223333:key/*"]);
        let groups = resources(&grant, Reach::LogGroups, 1);
        assert_eq!(
            groups,
            ["/payments/*", "/one", "/one:*"]
                .map(|name| format!("arn:aws:logs:*:111122223333:log-group:{name}"))
        );
        assert_eq!(resources(&grant, Reach::LogGroups, 2), ["arn:aws:kms:*:111122223333:key/*"]);
        assert_eq!(resources(&grant, Reach::QueryResults, 1), ["*"]);
        assert!(grant_fits_session_policy(&grant));
    }

    #[test]
    fn a_session_runs_queries_only_to_verify_query_results_and_only_in_granted_log_groups() {
        let verifies = grant(&["/payments/*"], &["*"]);
        let text = |grant: &AccountGrant, reach| SessionPolicy::of(grant, reach).json;
        let policy: Value = serde_json::from_str(&text(&verifies, Reach::LogGroups)).unwrap();
        let groups = &policy["Statement"][1];
        assert_eq!(groups["Action"][2], "logs:StartQuery");
        assert_eq!(groups["Resource"], json!(["arn:aws:logs:*:111122223333:log-group:/payments/*"]));
        assert!(!text(&verifies, Reach::QueryResults).contains("Query\""));
        for (query_results, verify_query_results) in [(true, false), (false, true)] {
            let silent = AccountGrant { query_results, verify_query_results, ..verifies.clone() };
            assert!(!text(&silent, Reach::LogGroups).contains("Query"), "{silent:?}");
        }
    }

    #[test]
    fn the_same_pattern_twice_stands_there_once() {
        assert_eq!(resources(&grant(&["/a/*", "/a/*"], &["*"]), Reach::LogGroups, 1).len(), 1);
    }

    #[test]
    fn a_pattern_over_keys_that_iam_would_not_take_is_widened() {
        for pattern in ["*:key/abc", "arn:aws:kms:*", "*"] {
            assert_eq!(resources(&grant(&["/a"], &[pattern]), Reach::LogGroups, 2), ["*"], "{pattern}");
        }
    }

    #[test]
    fn patterns_that_do_not_fit_give_way_and_are_told() {
        let many: Vec<String> = (0..40).map(|n| format!("/team-{n}/a-rather-long-name/*")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let wide = grant(&many, &["arn:aws:kms:*:111122223333:key/*"]);
        assert!(!grant_fits_session_policy(&wide));
        assert_eq!(resources(&wide, Reach::LogGroups, 1), ["arn:aws:logs:*:111122223333:log-group:*"]);
        assert_eq!(resources(&wide, Reach::LogGroups, 2), ["arn:aws:kms:*:111122223333:key/*"]);
    }

    #[test]
    fn the_longest_role_leaves_room_for_a_policy() {
        let role = format!("arn:aws:iam::111122223333:role/{}/{}", "p".repeat(1_900), "n".repeat(64));
        let grant = AccountGrant { role: role.parse().unwrap(), ..grant(&["/a"], &["*"]) };
        assert!(SessionPolicy::of(&grant, Reach::LogGroups).exact);
    }

    proptest! {
        #[test]
        fn what_is_said_to_fit_does(groups in prop::collection::vec("/[a-z]{1,60}", 0..20)) {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let grant = grant(&groups, &["arn:aws:kms:*:111122223333:key/*"]);
            let exact = [Reach::LogGroups, Reach::QueryResults]
                .iter()
                .all(|reach| SessionPolicy::of(&grant, *reach).exact);
            prop_assert_eq!(grant_fits_session_policy(&grant), exact);
        }

        #[test]
        fn no_policy_is_longer_than_sts_takes(
            groups in prop::collection::vec("[a-z/*]{1,300}", 0..30),
            keys in prop::collection::vec("arn:aws:kms:[a-z*]{1,20}:[0-9*]{1,12}:key/[a-f0-9*-]{1,200}", 0..20),
        ) {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            for reach in [Reach::LogGroups, Reach::QueryResults] {
                let policy = SessionPolicy::of(&grant(&groups, &keys), reach);
                prop_assert!(policy.json.len() <= MAX_POLICY);
            }
        }
    }
}
