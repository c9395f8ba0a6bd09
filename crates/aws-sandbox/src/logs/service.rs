//! The `CloudWatch` Logs service principal: what it does with a key, and whether the key's policy allows it.

use crate::{
    partition,
    policy::evaluation::{EvalPrincipal, EvalRequest, Verdict},
    state::{keys::Key, region::Region},
};

/// The actions that the service performs with a key, one for each action in AWS's documented statement.
pub(super) const ACTIONS: [&str; 6] = [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:DescribeKey",
];

/// The service principal's name in a Region.
pub(super) fn principal(region: &str) -> String {
    format!("logs.{region}.{}", partition::suffix(partition::of_region(region)))
}

/// Whether the key's policy allows the service all of these actions for `resource`. The encryption context
/// identifies a log group; `aws:SourceArn` and `aws:SourceAccount` identify query results.
pub(crate) fn may_use(key: &Key, region: &Region, resource: &str) -> bool {
    let mut facts = vec![("aws:PrincipalIsAWSService", "true")];
    if resource == region.query_results_arn() {
        facts.push(("aws:SourceArn", resource));
        facts.push(("aws:SourceAccount", &region.account_id));
    } else {
        facts.push(("kms:EncryptionContext:aws:logs:arn", resource));
    }
    let service = principal(&region.name);
    ACTIONS.iter().all(|action| {
        let request = EvalRequest {
            principal: EvalPrincipal::Service(&service),
            action,
            resources: &[&key.arn],
            context: &facts,
        };
        key.policy.verdict(&request) == Verdict::Allows
    })
}
