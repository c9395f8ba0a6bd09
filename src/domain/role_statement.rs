//! The IAM statements that the service needs, written once. Onboarding, the remedies of a diagnosis and the
//! session policy are made of them.

use serde_json::{Value, json};

use super::policy_simulation::{ASSOCIATE, DISASSOCIATE};

/// The actions that set and remove the key of a log group or of query results.
pub const SET_KEY_ACTIONS: [&str; 2] = [ASSOCIATE, DISASSOCIATE];
/// The actions that `CloudWatch` Logs and the role need on a key, as AWS's documentation lists them.
pub const USE_KEY_ACTIONS: [&str; 5] =
    ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"];
/// The action that lists log groups.
pub const LIST_LOG_GROUPS: &str = "logs:DescribeLogGroups";
/// The action that starts the probe of query results.
pub const START_QUERY: &str = "logs:StartQuery";
/// The action that reads the results of the probe.
pub const READ_QUERY_RESULTS: &str = "logs:GetQueryResults";
/// The action that reads AWS's quotas.
pub const LIST_QUOTAS: &str = "servicequotas:ListServiceQuotas";
/// The action that simulates a role's own policies.
pub const SIMULATE: &str = "iam:SimulatePrincipalPolicy";

/// A statement for a role's policy: it allows these actions on these resources.
#[must_use]
pub fn allow(sid: &str, actions: impl Into<Value>, resources: impl Into<Value>) -> Value {
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions.into(), "Resource": resources.into() })
}

/// A statement for a role's policy: it may use these keys, but only through these services.
#[must_use]
pub fn use_keys_through(sid: &str, keys: impl Into<Value>, services: impl Into<Value>) -> Value {
    let mut statement = allow(sid, USE_KEY_ACTIONS, keys);
    if let Some(fields) = statement.as_object_mut() {
        fields.insert("Condition".to_owned(), via_service(services));
    }
    statement
}

/// A statement for a key's policy: the principal may use the key under this condition.
#[must_use]
pub fn allow_use_of_key(sid: &str, principal: &Value, condition: &Value) -> Value {
    json!({
        "Sid": sid,
        "Effect": "Allow",
        "Principal": principal,
        "Action": USE_KEY_ACTIONS,
        "Resource": "*",
        "Condition": condition,
    })
}

/// A statement for a role's trust policy: the service identity may assume the role, but only with the external id.
#[must_use]
pub fn assume_with_external_id(service: &str, external_id: &str) -> Value {
    json!({
        "Sid": "AssumeWithExternalId",
        "Effect": "Allow",
        "Principal": { "AWS": service },
        "Action": "sts:AssumeRole",
        "Condition": { "StringEquals": { "sts:ExternalId": external_id } },
    })
}

/// A statement for a role's trust policy: the sessions of the service identity may name the tenant and the caller.
#[must_use]
pub fn attribute_sessions(service: &str) -> Value {
    json!({
        "Sid": "SayOnWhoseBehalf",
        "Effect": "Allow",
        "Principal": { "AWS": service },
        "Action": ["sts:TagSession", "sts:SetSourceIdentity"],
    })
}

/// The condition that a key is used through one of these services.
#[must_use]
pub fn via_service(services: impl Into<Value>) -> Value {
    json!({ "StringEquals": { "kms:ViaService": services.into() } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{aws::Partition, onboarding::Onboarding, tenant::AccountGrant};

    fn actions(policy: &Value) -> BTreeSet<String> {
        let statements = policy["Statement"].as_array().unwrap();
        let listed = statements.iter().flat_map(|statement| {
            let action = &statement["Action"];
            action.as_array().cloned().unwrap_or_else(|| vec![action.clone()])
        });
        listed.map(|action| action.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_page_in_deploy_has_every_partition() {
        let page = include_str!("../../deploy/iam/README.md");
        for partition in Partition::all() {
            let (name, suffix) = (partition.as_str(), partition.service_suffix());
            let cells = format!("| `arn:{name}:` | `{suffix}` |");
            assert!(page.lines().any(|line| line.ends_with(&cells)), "{cells}");
        }
    }

    #[test]
    fn the_policies_in_deploy_allow_what_onboarding_allows() {
        let grant = AccountGrant {
            account: "111122223333".parse().unwrap(),
            role: "arn:aws:iam::111122223333:role/LogKeyAssociator".parse().unwrap(),
            external_id: "logkey-sandbox".parse().unwrap(),
            regions: ["eu-west-1".parse().unwrap()].into(),
            log_groups: ["/payments/*".parse().unwrap()].into(),
            kms_keys: ["arn:aws:kms:*:111122223333:key/*".parse().unwrap()].into(),
            query_results: true,
            verify_query_results: true,
        };
        let onboarding = Onboarding::of(&grant, "arn:aws:iam::999999999999:role/LogKeyHub");
        let files = [
            include_str!("../../deploy/iam/tenant-role-policy.json"),
            include_str!("../../deploy/iam/tenant-role-policy-query-results.json"),
            include_str!("../../deploy/iam/tenant-role-policy-verify-query-results.json"),
        ];
        let deployed = files.map(|text| actions(&serde_json::from_str(text).unwrap()));
        let deployed: BTreeSet<String> = deployed.into_iter().flatten().collect();
        assert_eq!(deployed, actions(&onboarding.role_policy));
    }
}
