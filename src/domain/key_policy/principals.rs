//! `Principal` and `NotPrincipal`.

use serde_json::{Map, Value};

use super::{
    document::{Effect, Read, exactly_one, malformed, strings},
    ternary::Ternary,
};
use crate::domain::aws::RoleArn;

/// Whom a statement is held against.
#[derive(Clone, Copy, Debug)]
pub(super) enum PrincipalKind<'w> {
    /// A service, by the name it has as a principal.
    Service(&'w str),
    /// A role.
    Role(&'w RoleArn),
    /// The account of a role, which hands on by its own policies what it is allowed.
    AccountOf(&'w RoleArn),
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principals {
    but: bool,
    everyone: bool,
    aws: Vec<String>,
    services: Vec<String>,
}

// === impl Principals ===

impl Principals {
    pub(super) fn read(fields: &Map<String, Value>) -> Read<Self> {
        let (but, value) = exactly_one(fields, "Principal", "NotPrincipal")?;
        let mut principals = Self { but, everyone: false, aws: Vec::new(), services: Vec::new() };
        match value {
            Value::String(all) if all == "*" => principals.everyone = true,
            Value::Object(kinds) => {
                for (kind, named) in kinds {
                    let named = strings(named)?;
                    match kind.as_str() {
                        "AWS" => principals.aws.extend(named),
                        "Service" => principals.services.extend(named),
                        "Federated" | "CanonicalUser" => {}
                        other => return Err(malformed(&format!("a principal is of kind {other:?}"))),
                    }
                }
                principals.everyone = principals.aws.iter().any(|name| name == "*");
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(malformed("a principal is neither * nor an object"));
            }
        }
        Ok(principals)
    }

    /// Whether this one is meant.
    pub(super) fn matches(&self, principal: PrincipalKind<'_>, effect: Effect) -> Ternary {
        let named = if self.everyone {
            Ternary::Yes
        } else {
            match principal {
                PrincipalKind::Service(service) => self.name_service(service),
                PrincipalKind::Role(role) => self.name_role(role, effect),
                PrincipalKind::AccountOf(role) => self.name_account(role).into(),
            }
        };
        match (self.but, effect, principal) {
            (false, ..) => named,
            (true, Effect::Deny, PrincipalKind::Service(_)) => named.not(),
            // To leave a session out, its role, its account and itself have to be named.
            (true, Effect::Deny, PrincipalKind::Role(_) | PrincipalKind::AccountOf(_))
                if named == Ternary::No =>
            {
                Ternary::Yes
            }
            // To allow everyone but some is discouraged, and not documented for services.
            (true, Effect::Allow, _) if named == Ternary::Yes => Ternary::No,
            (true, Effect::Deny | Effect::Allow, _) => Ternary::Unknown,
        }
    }

    fn name_service(&self, service: &str) -> Ternary {
        // The name without a Region is accepted for some services; whether for this one is not
        // documented. Neither is the plain suffix in China.
        let doubtful = |named: &String| {
            named == "logs.amazonaws.com" || service.strip_suffix(".cn").is_some_and(|plain| named == plain)
        };
        if self.services.iter().any(|named| named == service) {
            Ternary::Yes
        } else if self.services.iter().any(doubtful) {
            Ternary::Unknown
        } else {
            Ternary::No
        }
    }

    /// To allow an account is no more than to leave it to the account; to deny it denies its roles.
    fn name_role(&self, role: &RoleArn, effect: Effect) -> Ternary {
        let name = role.as_str().rsplit('/').next().unwrap_or_default();
        let session =
            format!("arn:{}:sts::{}:assumed-role/{name}/", role.partition(), role.account().as_str());
        if self.aws.iter().any(|named| named == role.as_str())
            || (effect == Effect::Deny && self.name_account(role))
        {
            Ternary::Yes
        } else if self.aws.iter().any(|named| named.starts_with(&session)) {
            Ternary::Unknown
        } else {
            Ternary::No
        }
    }

    fn name_account(&self, role: &RoleArn) -> bool {
        let account = role.account();
        let root = format!("arn:{}:iam::{account}:root", role.partition());
        self.aws.iter().any(|named| named == account.as_str() || *named == root)
    }
}
