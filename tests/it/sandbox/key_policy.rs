//! Evaluates the same key policies in the sandbox and in the service's preflight. The two implementations are
//! independent and must not contradict each other.

use std::collections::BTreeMap;

use logkey::{
    domain::{
        association::{Location, Resource, Target},
        key_policy::{KeyPolicy, PolicyEvaluation, PrincipalAccess, REQUIRED_ACTIONS},
    },
    sandbox::{Sandbox, seed::AccountSeed},
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{ACCOUNT, REGION};

const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const ROLE: &str = "arn:aws:iam::111122223333:role/Associator";

const TARGET_KEYS: [&str; 5] = [
    "kms:EncryptionContext:aws:logs:arn",
    "kms:encryptioncontext:AWS:logs:arn",
    "aws:SourceArn",
    "aws:SourceAccount",
    "aws:PrincipalIsAWSService",
];

/// Every global condition key
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>).
const GLOBAL_KEYS: &[&str] = &[
    "aws:AssumedRoot",
    "aws:CalledVia",
    "aws:CalledViaFirst",
    "aws:CalledViaLast",
    "aws:ChatbotSourceArn",
    "aws:CurrentTime",
    "aws:Ec2InstanceSourcePrivateIPv4",
    "aws:Ec2InstanceSourceVpc",
    "aws:EpochTime",
    "aws:FederatedProvider",
    "aws:MultiFactorAuthAge",
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
    "aws:PrincipalServiceName",
    "aws:PrincipalServiceNamesList",
    "aws:PrincipalTag/team",
    "aws:PrincipalType",
    "aws:RequestTag/team",
    "aws:RequestedRegion",
    "aws:ResourceAccount",
    "aws:ResourceOrgID",
    "aws:ResourceOrgPaths",
    "aws:ResourceTag/team",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIdentity",
    "aws:SourceIp",
    "aws:SourceOrgID",
    "aws:SourceOrgPaths",
    "aws:SourceVpc",
    "aws:SourceVpcArn",
    "aws:SourceVpce",
    "aws:TagKeys",
    "aws:TokenIssueTime",
    "aws:UserAgent",
    "aws:ViaAWSService",
    "aws:VpcSourceIp",
    "aws:VpceAccount",
    "aws:VpceOrgID",
    "aws:VpceOrgPaths",
    "aws:referer",
    "aws:userid",
    "aws:username",
    "ec2:SourceInstanceArn",
    "lambda:SourceFunctionArn",
];

/// Every condition key of KMS (<https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>).
const KMS_KEYS: &[&str] = &[
    "kms:BypassPolicyLockoutSafetyCheck",
    "kms:CallerAccount",
    "kms:CustomerMasterKeySpec",
    "kms:CustomerMasterKeyUsage",
    "kms:DataKeyPairSpec",
    "kms:EncryptionAlgorithm",
    "kms:EncryptionContext:department",
    "kms:EncryptionContextKeys",
    "kms:ExpirationModel",
    "kms:GrantConstraintType",
    "kms:GrantIsForAWSResource",
    "kms:GrantOperations",
    "kms:GranteePrincipal",
    "kms:KeyAgreementAlgorithm",
    "kms:KeyOrigin",
    "kms:KeySpec",
    "kms:KeyUsage",
    "kms:MacAlgorithm",
    "kms:MessageType",
    "kms:MultiRegion",
    "kms:MultiRegionKeyType",
    "kms:PrimaryRegion",
    "kms:ReEncryptOnSameKey",
    "kms:RecipientAttestation:ImageSha384",
    "kms:ReplicaRegion",
    "kms:RequestAlias",
    "kms:ResourceAliases",
    "kms:RetiringPrincipal",
    "kms:RotationPeriodInDays",
    "kms:ScheduleKeyDeletionPendingWindowInDays",
    "kms:SigningAlgorithm",
    "kms:ValidTo",
    "kms:ViaService",
    "kms:WrappingAlgorithm",
    "kms:WrappingKeySpec",
];

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
        "ForAnyValue:StringNotEquals",
        "ForAllValues:StringEquals",
        "Bool",
        "BoolIfExists",
        "Null",
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
        "false",
        "aws:logs:arn",
        "logs.eu-west-1.amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
        "eu-west-1",
        ROLE,
        "AssumedRole",
        "SYMMETRIC_DEFAULT",
        "ENCRYPT_DECRYPT",
    ];
    // The keys that decide in practice come up as often as all the others together.
    let key = prop_oneof![
        select(TARGET_KEYS.to_vec()),
        select(GLOBAL_KEYS.iter().chain(KMS_KEYS).copied().collect::<Vec<_>>())
    ];
    let one = (select(operators.to_vec()), key, prop::collection::vec(select(values.to_vec()), 1..3));
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
        json!({ "AWS": [ROLE] }),
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

fn sandbox(policy: &str) -> Sandbox {
    let account =
        |account: AccountSeed| account.key(REGION, KEY_ID, policy).role("Associator", "external-id");
    Sandbox::builder().account(ACCOUNT, account).build().unwrap()
}

fn resource(query_results: bool) -> Resource {
    let location = Location { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() };
    let group = || Target::LogGroup("/payments/api".parse().unwrap());
    Resource { location, target: if query_results { Target::QueryResults } else { group() } }
}

/// Checks that a clear result of the preflight, for the service and for a role, is what the embedded AWS
/// decides.
fn compare(statements: &[Value], resource: &Resource) -> Result<(), TestCaseError> {
    let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let (aws, arn) = (sandbox(&text), resource.arn().to_string());
    let (policy, key) = (KeyPolicy::parse(&text).unwrap(), KEY.parse().unwrap());

    let allowed = aws.logs_may_use(KEY, &arn).unwrap();
    let evaluated = policy.evaluate(&key, resource);
    match evaluated {
        PolicyEvaluation::Allows => prop_assert!(allowed, "{text}"),
        PolicyEvaluation::LacksService { .. }
        | PolicyEvaluation::ConditionMismatch { .. }
        | PolicyEvaluation::Denied { .. } => prop_assert!(!allowed, "{evaluated:?} {text}"),
        PolicyEvaluation::MayBeDenied { .. } | PolicyEvaluation::Unclear { .. } => {}
    }

    let allowed = aws.role_may_use("Associator", KEY, &arn).unwrap();
    let role = ROLE.parse().unwrap();
    let each = REQUIRED_ACTIONS.map(|action| policy.principal_access(&key, &role, resource, action));
    let refused = |access: &PrincipalAccess| {
        matches!(access, PrincipalAccess::NotMentioned | PrincipalAccess::Denied { .. })
    };
    let granted =
        |access: &PrincipalAccess| matches!(access, PrincipalAccess::Named | PrincipalAccess::Delegated);
    if each.iter().any(refused) {
        prop_assert!(!allowed, "{each:?} {text}");
    } else if each.iter().all(granted) {
        prop_assert!(allowed, "{each:?} {text}");
    }
    Ok(())
}

/// Every condition key, with each operator and value that tells presence from absence, and truth from falsehood.
#[test]
fn the_sandbox_and_the_preflight_agree_on_every_condition_key() {
    for key in GLOBAL_KEYS.iter().chain(KMS_KEYS).chain(&TARGET_KEYS) {
        for (operator, value) in [
            ("Null", "true"),
            ("Null", "false"),
            ("Bool", "true"),
            ("Bool", "false"),
            ("StringEquals", "111122223333"),
            ("StringNotEquals", "111122223333"),
            ("StringLike", "*"),
            ("StringLike", "logs.*"),
            ("StringEqualsIfExists", "eu-west-1"),
            ("ForAnyValue:StringNotEquals", "x"),
            ("ForAllValues:StringEquals", "aws:logs:arn"),
        ] {
            let condition = json!({ operator: { *key: value } });
            for effect in ["Allow", "Deny"] {
                let all = json!({ "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*" });
                let mut one = all.clone();
                one["Effect"] = json!(effect);
                one["Condition"] = condition.clone();
                let statements = if effect == "Deny" { vec![all, one] } else { vec![one] };
                for query_results in [false, true] {
                    compare(&statements, &resource(query_results)).unwrap();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_clear_preflight_result_is_what_the_sandbox_decides(
        statements in prop::collection::vec(statement(), 1..4),
        query_results in any::<bool>(),
    ) {
        compare(&statements, &resource(query_results))?;
    }
}
