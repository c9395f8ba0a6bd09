//! The `CloudWatch` Logs service principal: what it does with a key, and whether the key's policy allows it.

use crate::{
    condition_keys::{Facts, IamCaller, of_encryption, of_key, of_logs, through_logs},
    partition,
    policy::evaluation::{EvalPrincipal, EvalRequest, Verdict},
    state::{account::Role, keys::Key, region::Region},
};

/// The actions that the service performs with a key. AWS's documented statement also has `kms:Describe*`, but
/// under a condition on the encryption context, which `DescribeKey` does not have; it works all the same.
pub(super) const ACTIONS: [&str; 5] =
    ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey"];

/// The service principal's name in a Region.
pub(super) fn principal(region: &str) -> String {
    format!("logs.{region}.{}", partition::suffix(partition::of_region(region)))
}

/// Whether the key's policy allows the service all of these actions for `resource`. The encryption context
/// identifies a log group; `aws:SourceArn` and `aws:SourceAccount` identify query results.
pub(crate) fn may_use(key: &Key, region: &Region, resource: &str) -> bool {
    let service = principal(&region.name);
    let mut facts = of_logs(&service, &region.name);
    if resource == region.query_results_arn() {
        facts.push(("aws:SourceArn", resource));
        facts.push(("aws:SourceAccount", &region.account_id));
    } else {
        facts.extend(of_encryption(resource));
    }
    let verdicts = verdicts(key, EvalPrincipal::Service(&service), &facts);
    verdicts.into_iter().all(|verdict| verdict == Verdict::Allows)
}

/// Whether the key's policy allows the role all of these actions through the service, or lets the policies of
/// the role's account decide.
pub(crate) fn role_may_use(key: &Key, region: &Region, role: &Role, resource: &str) -> bool {
    let service = principal(&region.name);
    let account = region.account_id.as_str();
    let caller = IamCaller { account, arn: &role.arn, is_session: true, region: &region.name };
    let facts = caller.facts(&facts_through(region, &service, resource));
    let principal = EvalPrincipal::Iam { account, arn: &role.arn, role_arn: Some(&role.arn) };
    let mut verdicts = verdicts(key, principal, &facts).into_iter();
    verdicts.all(|verdict| matches!(verdict, Verdict::Allows | Verdict::AllowsAccount))
}

/// The condition keys that a call for `resource` has because the service makes it on behalf of a role.
pub(super) fn facts_through<'a>(region: &Region, service: &'a str, resource: &'a str) -> Facts<'a> {
    let mut facts = through_logs(service);
    if resource != region.query_results_arn() {
        facts.extend(of_encryption(resource));
    }
    facts
}

fn verdicts(key: &Key, principal: EvalPrincipal<'_>, facts: &[(&str, &str)]) -> [Verdict; ACTIONS.len()] {
    ACTIONS.map(|action| {
        let context = [facts, &of_key(key, action)].concat();
        key.policy.verdict(&EvalRequest { principal, action, resources: &[&key.arn], context: &context })
    })
}
