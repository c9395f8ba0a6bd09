//! Named key policies for seeds: AWS's documented policies, and policies that deny the service.

use serde_json::{Value, json};

use super::{error::InvalidPolicy, evaluation::Policy};
use crate::partition;

/// The names that a seed may use instead of a key policy's JSON, each with what the policy allows.
pub(crate) const NAMES: [(&str, &str); 5] = [
    ("allow-logs", "log groups of the key's account and Region"),
    ("allow-query-results", "query results of the key's account"),
    ("allow-both", "log groups and query results"),
    ("lacks-logs", "the account's own principals only"),
    ("other-group", "one log group that does not exist"),
];

/// The key policy with this name, or `None` if the name is unknown.
pub(crate) fn key_policy(name: &str, account: &str, region: &str) -> Option<Value> {
    let partition = partition::of_region(region);
    let groups = || {
        let arn = format!("arn:{partition}:logs:{region}:{account}:*");
        logs(region, json!({ "ArnLike": { "kms:EncryptionContext:aws:logs:arn": arn } }))
    };
    let queries = || {
        let arn = format!("arn:{partition}:logs:{region}:{account}:query-result:*");
        logs(
            region,
            json!({ "ArnEquals": { "aws:SourceArn": arn }, "StringEquals": { "aws:SourceAccount": account } }),
        )
    };
    let more = match name {
        "allow-logs" => vec![groups()],
        "allow-query-results" => vec![queries()],
        "allow-both" => vec![groups(), queries()],
        "lacks-logs" => vec![],
        "other-group" => {
            let arn = format!("arn:{partition}:logs:{region}:{account}:log-group:/nowhere");
            let only = json!({ "ArnEquals": { "kms:EncryptionContext:aws:logs:arn": arn } });
            vec![logs(region, only)]
        }
        _ => return None,
    };
    let mut statements = vec![own_account(account, partition)];
    statements.extend(more);
    Some(json!({ "Version": "2012-10-17", "Statement": statements }))
}

/// A trust policy for these principals; it requires the external id, if there is one.
pub(crate) fn trust_policy(principals: &[String], external_id: Option<&str>) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": { "AWS": principals },
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
    });
    if let (Some(id), Some(fields)) = (external_id, statement.as_object_mut()) {
        let condition = json!({ "StringEquals": { "sts:ExternalId": id } });
        fields.insert("Condition".to_owned(), condition);
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

/// An identity or service control policy with `effect` for these actions on every resource.
pub(crate) fn actions(effect: &str, actions: &[String]) -> Result<Policy, InvalidPolicy> {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": effect, "Action": actions, "Resource": "*" }],
    });
    policy.to_string().parse()
}

fn own_account(account: &str, partition: &str) -> Value {
    json!({
        "Sid": "OwnAccount",
        "Effect": "Allow",
        "Principal": { "AWS": format!("arn:{partition}:iam::{account}:root") },
        "Action": "kms:*",
        "Resource": "*",
    })
}

fn logs(region: &str, condition: Value) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": { "Service": format!("logs.{region}.{}", partition::suffix(partition::of_region(region))) },
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": "*",
    });
    if let Some(fields) = statement.as_object_mut() {
        fields.insert("Condition".to_owned(), condition);
    }
    statement
}
