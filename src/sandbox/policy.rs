//! IAM policies as far as the embedded AWS needs them: trust, key, identity, session and service
//! control policies, all evaluated the same way. What is not understood is refused when a policy
//! is read, never skipped when it is evaluated.

mod condition;
mod document;
pub(crate) mod shorthand;
#[cfg(test)]
mod tests;

use thiserror::Error;
use wildmatch::WildMatch;

use self::condition::Condition;
use super::partition;

/// One policy, read and compiled.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
    text: Box<str>,
}

/// Why a text is not a policy.
#[derive(Debug, Error)]
pub enum InvalidPolicy {
    /// Not JSON, or not of a policy's shape.
    #[error("not a policy document")]
    Shape(#[source] serde_json::Error),
    /// A condition operator that is not known here.
    #[error("condition operator `{0}` is not known to the sandbox")]
    Operator(String),
    /// A statement with both or neither of a pair such as `Action` and `NotAction`.
    #[error("a statement needs exactly one of {0}")]
    Pair(&'static str),
}

/// One request as policies see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvalRequest<'a> {
    /// Who asks.
    pub(crate) principal: Who<'a>,
    /// `service:Action`.
    pub(crate) action: &'a str,
    /// The resource, in every spelling that a policy may use for it.
    pub(crate) resources: &'a [&'a str],
    /// Condition keys and their values.
    pub(crate) context: &'a [(&'a str, &'a str)],
}

/// Who asks, as the `Principal` element sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    /// An IAM user, role or session.
    Iam {
        /// The account it belongs to.
        account: &'a str,
        /// Its ARN; for a session, the session's.
        arn: &'a str,
        /// For a session, the ARN of its role.
        role_arn: Option<&'a str>,
    },
    /// An AWS service.
    Service(&'a str),
}

/// What one policy says to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A statement denies.
    Denied,
    /// No statement fits.
    NoMatch,
    /// A statement allows the whole account, which may hand it on by identity policies.
    AllowsAccount,
    /// A statement allows this very principal.
    Allows,
}

#[derive(Clone, Debug)]
struct Statement {
    allow: bool,
    principals: Option<Principals>,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default)]
struct Principals {
    anyone: bool,
    aws: Vec<String>,
    services: Vec<String>,
}

#[derive(Clone, Debug)]
struct Patterns {
    negated: bool,
    any_of: Vec<WildMatch>,
}

// === impl Policy ===

impl Policy {
    /// What this policy says; an explicit deny wins.
    pub(crate) fn verdict(&self, request: &EvalRequest<'_>) -> Verdict {
        let action = request.action.to_ascii_lowercase();
        let mut best = Verdict::NoMatch;
        for statement in &self.statements {
            let Some(reach) = statement.verdict_for(request, &action) else {
                continue;
            };
            match (statement.allow, reach) {
                (false, _) => return Verdict::Denied,
                (true, Verdict::Allows) => best = Verdict::Allows,
                (true, _) if best == Verdict::NoMatch => best = Verdict::AllowsAccount,
                (true, _) => {}
            }
        }
        best
    }

    /// Every condition key that it asks for.
    pub(crate) fn condition_keys(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(|statement| statement.conditions.iter().map(Condition::key))
    }

    /// The text it was read from.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

// === impl Statement ===

impl Statement {
    /// Whether the statement speaks about this question, and how directly.
    fn verdict_for(&self, request: &EvalRequest<'_>, action: &str) -> Option<Verdict> {
        let reach = match &self.principals {
            None => Verdict::Allows,
            Some(principals) => principals.reach(&request.principal)?,
        };
        let fits = self.actions.matches(&[action])
            && self.resources.matches(request.resources)
            && self.conditions.iter().all(|c| c.holds(request.context));
        fits.then_some(reach)
    }
}

// === impl Principals ===

impl Principals {
    fn reach(&self, principal: &Who<'_>) -> Option<Verdict> {
        if self.anyone {
            return Some(Verdict::Allows);
        }
        match principal {
            Who::Service(name) => {
                let named = self.services.iter().any(|service| service == name);
                named.then_some(Verdict::Allows)
            }
            Who::Iam { account, arn, role_arn } => {
                let direct = |p: &String| p == arn || Some(p.as_str()) == *role_arn;
                if self.aws.iter().any(direct) {
                    return Some(Verdict::Allows);
                }
                let root = format!("arn:{}:iam::{account}:root", partition::of_arn(arn));
                let whole = |p: &String| p == account || *p == root;
                self.aws.iter().any(whole).then_some(Verdict::AllowsAccount)
            }
        }
    }
}

// === impl Patterns ===

impl Patterns {
    fn matches(&self, spellings: &[&str]) -> bool {
        let found = spellings.iter().any(|text| self.any_of.iter().any(|pattern| pattern.matches(text)));
        found != self.negated
    }
}
