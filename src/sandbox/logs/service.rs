//! The service itself as a principal: what it does with a key, and what keys' policies say to that.

#[cfg(test)]
mod tests;

use crate::sandbox::{
    partition,
    policy::{EvalRequest, Verdict, Who},
    state::{Region, keys::Key},
};

/// What it does with a key once it has it: one action for each that the documented statement names.
pub(super) const ACTIONS: [&str; 6] = [
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:DescribeKey",
];

/// Its name in a Region.
pub(super) fn principal(region: &str) -> String {
    format!("logs.{region}.{}", partition::suffix(partition::of_region(region)))
}

/// Whether the key's policy lets it do all of them for `resource`: for a log group it says so by the
/// encryption context, for query results by their source.
pub(in crate::sandbox) fn may_use(key: &Key, region: &Region, resource: &str) -> bool {
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
            principal: Who::Service(&service),
            action,
            resources: &[&key.arn],
            context: &facts,
        };
        key.policy.verdict(&request) == Verdict::Allows
    })
}
