//! Evaluates the same key policies in the sandbox and in the service's preflight. The two implementations are
//! independent and must not contradict each other.

use std::collections::BTreeMap;

use logkey::{
    domain::{
        association::{Location, Resource, Target},
        key_policy::{KeyPolicy, PolicyEvaluation},
    },
    sandbox::Sandbox,
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{ACCOUNT, REGION};

const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn condition() -> impl Strategy<Value = Value> {
    let group = "arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api";
    let operators = [
        "StringEquals",
        "StringLike",
        "StringNotEquals",
        "StringNotLike",
        "StringEqualsIgnoreCase",
        "ArnEquals",
        "ArnLike",
        "ArnNotEquals",
        "ArnNotLike",
        "ArnLikeIfExists",
        "ForAnyValue:StringLike",
        "ForAllValues:StringEquals",
    ];
    let keys = [
        "kms:EncryptionContext:aws:logs:arn",
        "kms:encryptioncontext:AWS:logs:arn",
        "aws:SourceArn",
        "aws:SourceAccount",
        "aws:PrincipalIsAWSService",
    ];
    let values = [
        group,
        "arn:aws:logs:eu-west-1:111122223333:*",
        "arn:aws:logs:eu-west-1:111122223333:log-group:/payments/*",
        "arn:aws:logs:*:111122223333:log-group:*",
        "arn:aws:logs:eu-west-1:111122223333:log-group:/other",
        "arn:aws:logs:us-east-1:111122223333:*",
        "arn:aws:logs:*",
        "*",
        "111122223333",
        "999900001111",
        "true",
        "arn:aws:logs:eu-west-1:111122223333:query-result:*",
        "ARN:AWS:LOGS:EU-WEST-1:111122223333:*",
    ];
    let one = (
        select(operators.to_vec()),
        select(keys.to_vec()),
        prop::collection::vec(select(values.to_vec()), 1..3),
    );
    prop::collection::vec(one, 0..3).prop_map(|conditions| {
        let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (operator, key, values) in conditions {
            all.entry(operator).or_default().insert(key, values);
        }
        json!(all)
    })
}

fn statement() -> impl Strategy<Value = Value> {
    let principals = [
        json!("*"),
        json!({ "AWS": "*" }),
        json!({ "AWS": "arn:aws:iam::111122223333:root" }),
        json!({ "Service": "logs.eu-west-1.amazonaws.com" }),
        json!({ "Service": "logs.us-east-1.amazonaws.com" }),
        json!({ "Service": ["s3.amazonaws.com", "logs.eu-west-1.amazonaws.com"] }),
    ];
    let actions = [
        json!("kms:*"),
        json!("*"),
        json!("KMS:Encrypt*"),
        json!(["kms:Encrypt", "kms:Decrypt"]),
        json!("logs:*"),
        json!(["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]),
        json!(["kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]),
        json!("kms:Describe?ey"),
    ];
    let resources = [json!("*"), json!(KEY), json!("arn:aws:kms:*:*:key/other")];
    let effect = prop_oneof![4 => Just("Allow"), 1 => Just("Deny")];
    let names = prop_oneof![5 => Just("Action"), 1 => Just("NotAction")];
    (
        effect,
        select(principals.to_vec()),
        names,
        select(actions.to_vec()),
        select(resources.to_vec()),
        condition(),
    )
        .prop_map(|(effect, principal, name, action, resource, condition)| {
            let mut statement = json!({
                "Effect": effect, "Principal": principal, (name): action, "Resource": resource,
            });
            if condition != json!({}) {
                statement.as_object_mut().unwrap().insert("Condition".to_owned(), condition);
            }
            statement
        })
}

/// What the embedded AWS decides about a key with this policy.
fn decide(policy: &str, resource: &str) -> bool {
    let aws = Sandbox::builder().account(ACCOUNT, |account| account.key(REGION, KEY_ID, policy));
    aws.build().unwrap().logs_may_use(KEY, resource).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_clear_preflight_result_is_what_the_sandbox_decides(
        statements in prop::collection::vec(statement(), 1..4),
        query_results in any::<bool>(),
    ) {
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let location = Location { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() };
        let target = if query_results {
            Target::QueryResults
        } else {
            Target::LogGroup("/payments/api".parse().unwrap())
        };
        let resource = Resource { location, target };
        let evaluated = KeyPolicy::parse(&text).unwrap().evaluate(&KEY.parse().unwrap(), &resource);

        let allowed = decide(&text, &resource.arn().to_string());
        match evaluated {
            PolicyEvaluation::Allows => prop_assert!(allowed, "{text}"),
            PolicyEvaluation::LacksService { .. } | PolicyEvaluation::ConditionMismatch { .. } | PolicyEvaluation::Denied { .. } => {
                prop_assert!(!allowed, "{evaluated:?} {text}");
            }
            PolicyEvaluation::Unclear { .. } => {}
        }
    }
}
