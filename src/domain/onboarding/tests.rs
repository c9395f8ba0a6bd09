use serde_json::{Value, json};

use super::*;
use crate::domain::{
    association::{Location, Resource, Target},
    key_policy::{KeyPolicy, PolicyEvaluation},
    tenant::AccountGrant,
};

const SERVICE_ROLE: &str = "arn:aws:iam::999999999999:role/LogKeyHub";

fn grant() -> AccountGrant {
    AccountGrant {
        account: "111122223333".parse().unwrap(),
        role: "arn:aws:iam::111122223333:role/security/LogKeyAssociator".parse().unwrap(),
        external_id: "the-external-id".parse().unwrap(),
        regions: ["eu-west-1".parse().unwrap(), "us-east-1".parse().unwrap()].into(),
        log_groups: vec!["/payments/*".parse().unwrap()],
        kms_keys: vec!["arn:aws:kms:*:111122223333:key/*".parse().unwrap()],
        query_results: true,
        verify_query_results: false,
    }
}

#[test]
fn the_trust_policy_trusts_only_the_service_role_with_the_external_id() {
    let trust = Onboarding::of(&grant(), SERVICE_ROLE).trust_policy;
    let assume = &trust["Statement"][0];
    assert_eq!(assume["Action"], "sts:AssumeRole");
    assert_eq!(assume["Principal"]["AWS"], SERVICE_ROLE);
    assert_eq!(assume["Condition"]["StringEquals"]["sts:ExternalId"], "the-external-id");
    assert!(
        trust["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .all(|statement| statement["Principal"]["AWS"] == SERVICE_ROLE)
    );
}

#[test]
fn an_organization_restricts_every_statement_of_the_trust_policy() {
    let organization = "o-exampleorgid".parse().unwrap();
    let trust = Onboarding::within(&grant(), SERVICE_ROLE, Some(&organization)).trust_policy;
    for statement in trust["Statement"].as_array().unwrap() {
        assert_eq!(statement["Condition"]["StringEquals"]["aws:PrincipalOrgID"], "o-exampleorgid");
    }
    assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], "the-external-id");
    for other in ["", "o-", "o-short", "o-EXAMPLEORGID", "r-exampleorgid", "o-example*orgid"] {
        assert!(other.parse::<OrganizationId>().is_err(), "{other}");
    }
}

#[test]
fn the_key_policy_statements_cover_the_granted_targets_only() {
    let onboarding = Onboarding::of(&grant(), SERVICE_ROLE);
    let key = "arn:aws:kms:eu-west-1:111122223333:key/k".parse().unwrap();
    let evaluate = |statements: &[Value], target: Target| {
        let location =
            Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let policy = json!({ "Statement": statements }).to_string();
        KeyPolicy::parse(&policy).unwrap().evaluate(&key, &Resource { location, target })
    };
    let group = |name: &str| Target::LogGroup(name.parse().unwrap());
    let for_groups = &onboarding.key_policy_for_log_groups;
    assert_eq!(evaluate(for_groups, group("/payments/api")), PolicyEvaluation::Allows);
    assert_ne!(evaluate(for_groups, group("/payroll/api")), PolicyEvaluation::Allows);
    assert_ne!(evaluate(for_groups, Target::QueryResults), PolicyEvaluation::Allows);
    assert_eq!(
        evaluate(&onboarding.key_policy_for_query_results, Target::QueryResults),
        PolicyEvaluation::Allows
    );
}

#[test]
fn without_a_query_results_grant_no_statement_mentions_them() {
    let narrow = AccountGrant { query_results: false, ..grant() };
    let onboarding = Onboarding::of(&narrow, SERVICE_ROLE);
    assert_eq!(onboarding.key_policy_for_query_results, Vec::<Value>::new());
    assert!(!onboarding.role_policy.to_string().contains("SetKeyOfQueryResults"));
}

#[test]
fn the_role_may_run_queries_only_to_verify_query_results() {
    let verifies = AccountGrant { verify_query_results: true, ..grant() };
    let policy = Onboarding::of(&verifies, SERVICE_ROLE).role_policy;
    let statements = policy["Statement"].as_array().unwrap();
    let run = statements.iter().find(|statement| statement["Sid"] == RUN_QUERY).unwrap();
    assert_eq!(run["Action"], "logs:StartQuery");
    assert_eq!(
        run["Resource"],
        json!([
            "arn:aws:logs:eu-west-1:111122223333:log-group:/payments/*",
            "arn:aws:logs:us-east-1:111122223333:log-group:/payments/*"
        ])
    );
    assert!(policy.to_string().contains("logs:GetQueryResults"));
    for without_queries in [grant(), AccountGrant { query_results: false, ..verifies }] {
        let text = Onboarding::of(&without_queries, SERVICE_ROLE).role_policy.to_string();
        assert!(!text.contains("StartQuery") && !text.contains("GetQueryResults"), "{text}");
    }
}

#[test]
fn the_role_uses_keys_through_cloudwatch_logs_only() {
    let policy = Onboarding::of(&grant(), SERVICE_ROLE).role_policy;
    let statements = policy["Statement"].as_array().unwrap();
    let uses: Vec<&Value> = statements
        .iter()
        .filter(|statement| statement["Action"].to_string().contains("kms:Encrypt"))
        .collect();
    assert_eq!(uses.len(), 1);
    assert_eq!(
        uses[0]["Condition"]["StringEquals"]["kms:ViaService"],
        json!(["logs.eu-west-1.amazonaws.com", "logs.us-east-1.amazonaws.com"])
    );
}

#[test]
fn the_templates_contain_the_same_documents_and_the_roles_name_and_path() {
    let onboarding = Onboarding::of(&grant(), SERVICE_ROLE);
    let role = &onboarding.cloudformation["Resources"]["LogKeyRole"]["Properties"];
    assert_eq!(role["AssumeRolePolicyDocument"], onboarding.trust_policy);
    assert_eq!((&role["RoleName"], &role["Path"]), (&json!("LogKeyAssociator"), &json!("/security/")));
    let documents: Vec<Value> = onboarding
        .terraform
        .split("<<-JSON")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("\n  JSON").next().unwrap()).unwrap())
        .collect();
    let by_region = |statements: Vec<Value>| {
        let [eu, us] = statements.try_into().unwrap();
        json!({ "eu-west-1": eu, "us-east-1": us })
    };
    let groups = by_region(onboarding.key_policy_for_log_groups);
    let results = by_region(onboarding.key_policy_for_query_results);
    let note = onboarding.cloudformation["Metadata"]["KeyStatements"].as_str().unwrap();
    assert!(note.contains("own Region") && onboarding.terraform.contains(note), "{note}");
    assert_eq!(onboarding.cloudformation["Metadata"]["LogGroupKeyStatements"], groups);
    assert_eq!(onboarding.cloudformation["Metadata"]["QueryResultsKeyStatements"], results);
    assert_eq!(documents, [onboarding.trust_policy, onboarding.role_policy, groups, results]);
}

#[test]
fn the_documents_of_every_partition_name_its_arns_and_services() {
    for (partition, region, suffix) in [
        ("aws-cn", "cn-north-1", "amazonaws.com.cn"),
        ("aws-us-gov", "us-gov-west-1", "amazonaws.com"),
        ("aws-eusc", "eusc-de-east-1", "amazonaws.eu"),
        ("aws-iso", "us-iso-east-1", "c2s.ic.gov"),
        ("aws-iso-b", "us-isob-east-1", "sc2s.sgov.gov"),
        ("aws-iso-e", "eu-isoe-west-1", "cloud.adc-e.uk"),
        ("aws-iso-f", "us-isof-south-1", "csp.hci.ic.gov"),
    ] {
        let grant = AccountGrant {
            role: format!("arn:{partition}:iam::111122223333:role/LogKeyAssociator").parse().unwrap(),
            regions: [region.parse().unwrap()].into(),
            kms_keys: vec![format!("arn:{partition}:kms:*:111122223333:key/*").parse().unwrap()],
            ..grant()
        };
        let service_role = format!("arn:{partition}:iam::999999999999:role/LogKeyHub");
        let onboarding = Onboarding::of(&grant, &service_role);
        let text = format!("{onboarding:?}");
        assert!(!text.contains("arn:aws:"), "{text}");
        let service = format!("logs.{region}.{suffix}");
        assert_eq!(onboarding.key_policy_for_log_groups[0]["Principal"]["Service"], service);
        assert!(onboarding.role_policy.to_string().contains(&service), "{text}");
    }
}
