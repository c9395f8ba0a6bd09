//! The session policy that limits an assumed role to the tenant's grant: only the actions that the service
//! uses, on the granted log groups and keys. The role's own policy limits the session as well.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::domain::{
    aws::Partition,
    pattern::Pattern,
    policy_simulation::{DESCRIBE_ACTIONS, READ_TAGS},
    role_statement::{
        LIST_LOG_GROUPS, LIST_QUOTAS, READ_QUERY_RESULTS, SET_KEY_ACTIONS, SIMULATE, START_QUERY,
    },
    tenant::AccountGrant,
};

/// The longest inline session policy, in characters: `Policy` of
/// [`AssumeRole`](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
const MAX_POLICY: usize = 2048;
/// An upper bound of a policy's characters without its patterns and the role's ARN.
const DOCUMENT_OVERHEAD: usize = 800;
/// An upper bound of the characters that each pattern adds: the ARN before it, quotes and a comma.
const STATEMENT_OVERHEAD: usize = 64;
/// The longest role ARN that a policy names: a path has at most 512 characters, a name 64.
const MAX_ROLE: usize = 640;

/// What a session is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SessionScope {
    /// Changes of log groups, and every read.
    LogGroups,
    /// Changes of the key of query results. IAM has no resource type for query results, so the session policy
    /// cannot limit them to log groups. They use a separate session.
    QueryResults,
}

/// A session policy, and whether it is exactly as narrow as the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionPolicy {
    pub(super) json: String,
    pub(super) exact: bool,
}

/// Whether the grant's patterns fit into a session policy unchanged. If they do not, the session policy is
/// wider than the grant, and only this service enforces the patterns.
#[must_use]
pub fn grant_fits_session_policy(grant: &AccountGrant) -> bool {
    // This estimate avoids rendering the policies: a configuration can have many thousand grants.
    let cost = |pattern: &Pattern| 2 * (pattern.as_str().len() + STATEMENT_OVERHEAD);
    let patterns = grant.log_groups.iter().chain(&grant.kms_keys).map(cost).sum::<usize>();
    DOCUMENT_OVERHEAD + grant.role.as_str().len() + patterns <= MAX_POLICY
        || SessionPolicy::of(grant, SessionScope::LogGroups).exact
            && SessionPolicy::of(grant, SessionScope::QueryResults).exact
}

// === impl SessionPolicy ===

impl SessionPolicy {
    /// The narrowest policy that fits into [`MAX_POLICY`] characters.
    pub(super) fn of(grant: &AccountGrant, scope: SessionScope) -> Self {
        let (groups, keys) = (log_groups(grant, scope), keys(grant));
        let all_groups = match scope {
            SessionScope::LogGroups => vec![group_arn(grant, "*")],
            SessionScope::QueryResults => groups.clone(),
        };
        let all_keys = vec!["*".to_owned()];
        let exact = document(grant, scope, &groups, &keys);
        if exact.len() <= MAX_POLICY {
            return Self { json: exact, exact: true };
        }
        [(&groups, &all_keys), (&all_groups, &keys)]
            .into_iter()
            .map(|(groups, keys)| document(grant, scope, groups, keys))
            .find(|json| json.len() <= MAX_POLICY)
            .map_or_else(
                || Self { json: document(grant, scope, &all_groups, &all_keys), exact: false },
                |json| Self { json, exact: false },
            )
    }

    /// The shortest policy that still allows only what the service does, as JSON. It names no patterns.
    pub(super) fn shortest(grant: &AccountGrant, scope: SessionScope) -> String {
        let (mut reads, on_groups) = actions(grant, scope);
        reads.push(SIMULATE);
        let mut statements = vec![json!({ "Effect": "Allow", "Action": reads, "Resource": "*" })];
        if !log_groups(grant, scope).is_empty() {
            let all_groups = match scope {
                SessionScope::LogGroups => group_arn(grant, "*"),
                SessionScope::QueryResults => "*".to_owned(),
            };
            statements.push(json!({ "Effect": "Allow", "Action": on_groups, "Resource": all_groups }));
        }
        if !grant.kms_keys.is_empty() {
            statements.push(key_statement(grant, &["*".to_owned()]));
        }
        json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
    }
}

/// The actions of a policy that only read, and those on log groups.
fn actions(grant: &AccountGrant, scope: SessionScope) -> (Vec<&'static str>, Vec<&'static str>) {
    let verifies = grant.query_results && grant.verify_query_results && scope == SessionScope::LogGroups;
    let mut reads = vec![LIST_LOG_GROUPS];
    reads.extend(DESCRIBE_ACTIONS);
    reads.extend([READ_TAGS, LIST_QUOTAS]);
    let mut on_groups = SET_KEY_ACTIONS.to_vec();
    if verifies {
        reads.push(READ_QUERY_RESULTS);
        on_groups.push(START_QUERY);
    }
    (reads, on_groups)
}

fn document(grant: &AccountGrant, scope: SessionScope, groups: &[String], keys: &[String]) -> String {
    // Reads are not limited to patterns: IAM supports that for few of them, and the service describes a key
    // before it knows whether the key is granted.
    let (reads, on_groups) = actions(grant, scope);
    let mut statements = vec![json!({ "Effect": "Allow", "Action": reads, "Resource": "*" })];
    if !groups.is_empty() {
        statements.push(json!({ "Effect": "Allow", "Action": on_groups, "Resource": groups }));
    }
    if !keys.is_empty() {
        statements.push(key_statement(grant, keys));
    }
    if grant.role.as_str().len() <= MAX_ROLE {
        statements.push(json!({
            "Effect": "Allow",
            "Action": SIMULATE,
            "Resource": grant.role.as_str(),
        }));
    }
    let policy: Value = json!({ "Version": "2012-10-17", "Statement": statements });
    policy.to_string()
}

fn key_statement(grant: &AccountGrant, keys: &[String]) -> Value {
    let suffix = grant.role.partition().service_suffix();
    json!({
        "Effect": "Allow",
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": keys,
        "Condition": { "StringLike": { "kms:ViaService": format!("logs.*.{suffix}") } },
    })
}

fn log_groups(grant: &AccountGrant, scope: SessionScope) -> Vec<String> {
    match scope {
        SessionScope::QueryResults if grant.query_results => vec!["*".to_owned()],
        SessionScope::QueryResults => Vec::new(),
        SessionScope::LogGroups => widest_scope(&grant.log_groups)
            .flat_map(|pattern| {
                let arn = group_arn(grant, pattern);
                // For some actions, AWS evaluates the ARN with `:log-stream:` after the name.
                let streams = (!pattern.ends_with('*')).then(|| format!("{arn}:*"));
                std::iter::once(arn).chain(streams)
            })
            .collect(),
    }
}

/// The patterns of keys. IAM accepts only full ARNs or `*`; any other pattern becomes `*`.
fn keys(grant: &AccountGrant) -> Vec<String> {
    let whole = |pattern: &&str| pattern.starts_with("arn:") && pattern.splitn(6, ':').count() == 6;
    let patterns: Vec<&str> = widest_scope(&grant.kms_keys).collect();
    if patterns.iter().all(whole) {
        patterns.into_iter().map(str::to_owned).collect()
    } else {
        vec!["*".to_owned()]
    }
}

/// The patterns that no other pattern covers.
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
