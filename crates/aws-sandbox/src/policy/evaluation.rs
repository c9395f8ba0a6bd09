//! Evaluates a policy for one request. Trust, key, identity, session and service control policies are all
//! evaluated in the same way.

use wildmatch::WildMatch;

use super::condition::Condition;
use crate::partition;

/// One policy, parsed and compiled.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(super) statements: Vec<Statement>,
    pub(super) text: Box<str>,
}

/// One request for policy evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvalRequest<'a> {
    /// The caller.
    pub(crate) principal: EvalPrincipal<'a>,
    /// `service:Action`.
    pub(crate) action: &'a str,
    /// The resource, in every form that a policy may use for it.
    pub(crate) resources: &'a [&'a str],
    /// Condition keys and their values.
    pub(crate) context: &'a [(&'a str, &'a str)],
}

/// The caller, as the `Principal` element matches it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EvalPrincipal<'a> {
    /// An IAM user, role or session.
    Iam {
        /// The caller's account.
        account: &'a str,
        /// The ARN of the user, role or session.
        arn: &'a str,
        /// For a session, the ARN of its role.
        role_arn: Option<&'a str>,
    },
    /// An AWS service.
    Service(&'a str),
}

/// The result of evaluating one policy for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A statement denies the request.
    Denied,
    /// No statement matches.
    NoMatch,
    /// A statement allows the whole account; identity policies decide about its principals.
    AllowsAccount,
    /// A statement allows this principal directly.
    Allows,
}

#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) allow: bool,
    pub(super) principals: Option<Principals>,
    pub(super) actions: Patterns,
    pub(super) resources: Patterns,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Principals {
    pub(super) anyone: bool,
    pub(super) aws: Vec<String>,
    pub(super) services: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Patterns {
    pub(super) negated: bool,
    pub(super) any_of: Vec<WildMatch>,
}

// === impl Policy ===

impl Policy {
    /// Evaluates the policy. An explicit deny overrides every allow.
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

    /// Every condition key that the policy uses.
    pub(crate) fn condition_keys(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(|statement| statement.conditions.iter().map(Condition::key))
    }

    /// The text that the policy was parsed from.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

// === impl Statement ===

impl Statement {
    /// Whether the statement matches the request, and whether it names the principal or its account.
    fn verdict_for(&self, request: &EvalRequest<'_>, action: &str) -> Option<Verdict> {
        let reach = match &self.principals {
            None => Verdict::Allows,
            Some(principals) => principals.reach(&request.principal)?,
        };
        let matches = self.actions.matches(&[action])
            && self.resources.matches(request.resources)
            && self.conditions.iter().all(|c| c.holds(request.context));
        matches.then_some(reach)
    }
}

// === impl Principals ===

impl Principals {
    fn reach(&self, principal: &EvalPrincipal<'_>) -> Option<Verdict> {
        if self.anyone {
            return Some(Verdict::Allows);
        }
        match principal {
            EvalPrincipal::Service(name) => {
                let named = self.services.iter().any(|service| service == name);
                named.then_some(Verdict::Allows)
            }
            EvalPrincipal::Iam { account, arn, role_arn } => {
                let direct = |p: &String| p == arn || Some(p.as_str()) == *role_arn;
                if self.aws.iter().any(direct) {
                    return Some(Verdict::Allows);
                }
                let root = format!("arn:{}:iam::{account}:root", partition::of_arn(arn));
                let account_or_root = |p: &String| p == account || *p == root;
                self.aws.iter().any(account_or_root).then_some(Verdict::AllowsAccount)
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
