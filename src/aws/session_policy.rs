//! What narrows an assumed role to what the tenant was granted: the few actions that are used, on its
//! log groups and keys. The role's own policy still bounds it from the other side.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::domain::{aws::Partition, pattern::Pattern, tenant::AccountGrant};

/// Longest inline session policy (`Policy` in the STS API reference, `AssumeRole`).
const MAX_POLICY: usize = 2048;
/// Characters of a policy beside its patterns, at most, the role's ARN left out.
const DOCUMENT_OVERHEAD: usize = 800;
/// Characters that a pattern costs beside itself, at most: the ARN before it, quotes and a comma.
const STATEMENT_OVERHEAD: usize = 64;
/// Longest role ARN that is named in a policy: a path has 512 characters at most, a name 64.
const MAX_ROLE: usize = 640;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SessionScope {
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
    let cost = |pattern: &Pattern| 2 * (pattern.as_str().len() + STATEMENT_OVERHEAD);
    let patterns = grant.log_groups.iter().chain(&grant.kms_keys).map(cost).sum::<usize>();
    DOCUMENT_OVERHEAD + grant.role.as_str().len() + patterns <= MAX_POLICY
        || SessionPolicy::of(grant, SessionScope::LogGroups).exact
            && SessionPolicy::of(grant, SessionScope::QueryResults).exact
}

// === impl SessionPolicy ===

impl SessionPolicy {
    /// The narrowest policy that fits.
    pub(super) fn of(grant: &AccountGrant, reach: SessionScope) -> Self {
        let (groups, keys) = (log_groups(grant, reach), keys(grant));
        let all_groups = match reach {
            SessionScope::LogGroups => vec![group_arn(grant, "*")],
            SessionScope::QueryResults => groups.clone(),
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

fn document(grant: &AccountGrant, reach: SessionScope, groups: &[String], keys: &[String]) -> String {
    let verifies = grant.query_results && grant.verify_query_results && reach == SessionScope::LogGroups;
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

fn log_groups(grant: &AccountGrant, reach: SessionScope) -> Vec<String> {
    match reach {
        SessionScope::QueryResults if grant.query_results => vec!["*".to_owned()],
        SessionScope::QueryResults => Vec::new(),
        SessionScope::LogGroups => widest_scope(&grant.log_groups)
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
    let patterns: Vec<&str> = widest_scope(&grant.kms_keys).collect();
    if patterns.iter().all(whole) {
        patterns.into_iter().map(str::to_owned).collect()
    } else {
        vec!["*".to_owned()]
    }
}

/// The patterns that no other one of them covers.
fn widest_scope(patterns: &[Pattern]) -> impl Iterator<Item = &str> {
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
