//! Parses the `Principal` or `NotPrincipal` of a statement and matches principals with it.

use serde_json::{Map, Value};

use super::{
    element::{Effect, Read, exactly_one, malformed, strings},
    ternary::Ternary,
};
use crate::domain::{
    association::Location,
    aws::{Partition, RoleArn},
};

/// The principal that a statement is evaluated for.
#[derive(Clone, Copy, Debug)]
pub(super) enum PrincipalKind<'w> {
    /// A service, by its service principal.
    Service(&'w str),
    /// A role, in a session of it.
    Role(&'w RoleArn),
    /// The account of a role. Its IAM policies delegate to the role what the account is allowed.
    AccountOf(&'w RoleArn),
}

/// The principals of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principals {
    negated: bool,
    everyone: bool,
    aws: Vec<String>,
    services: Vec<String>,
}

/// The service principal of `CloudWatch` Logs in the Region of a location.
#[must_use]
pub fn service_principal(location: &Location) -> String {
    format!("logs.{}.{}", location.region, Partition::of(&location.region).service_suffix())
}

// === impl Principals ===

impl Principals {
    pub(super) fn read(fields: &Map<String, Value>) -> Read<Self> {
        let (negated, value) = exactly_one(fields, "Principal", "NotPrincipal")?;
        let mut principals = Self { negated, everyone: false, aws: Vec::new(), services: Vec::new() };
        match value {
            Value::String(all) if all == "*" => principals.everyone = true,
            Value::Object(kinds) => {
                for (kind, named) in kinds {
                    let named = strings(named)?;
                    match kind.as_str() {
                        "AWS" => principals.aws.extend(named),
                        "Service" => principals.services.extend(named),
                        "Federated" | "CanonicalUser" => {}
                        other => {
                            return Err(malformed(&format!("a principal has the unknown type {other:?}")));
                        }
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

    pub(super) fn name_a_service(&self) -> bool {
        !self.negated && !self.everyone && !self.services.is_empty()
    }

    /// Whether the statement applies to this principal.
    pub(super) fn matches(&self, principal: PrincipalKind<'_>, effect: Effect) -> Ternary {
        let named = if self.everyone {
            Ternary::Yes
        } else {
            match principal {
                PrincipalKind::Service(service) => self.names_service(service),
                PrincipalKind::Role(role) => self.names_role(role, effect),
                PrincipalKind::AccountOf(role) => self.names_account(role).into(),
            }
        };
        match (self.negated, effect, principal) {
            (false, ..) => named,
            (true, Effect::Deny, PrincipalKind::Service(_)) => named.not(),
            // A `NotPrincipal` with Deny has to name the session, its role and its account to exempt the
            // session.
            (true, Effect::Deny, PrincipalKind::Role(_) | PrincipalKind::AccountOf(_))
                if named == Ternary::No =>
            {
                Ternary::Yes
            }
            // AWS discourages `NotPrincipal` with Allow and does not document it for services.
            (true, Effect::Allow, _) if named == Ternary::Yes => Ternary::No,
            (true, Effect::Deny | Effect::Allow, _) => Ternary::Unknown,
        }
    }

    fn names_service(&self, service: &str) -> Ternary {
        // Some services accept the name without a Region. AWS documents neither that for CloudWatch Logs, nor
        // the suffix without `.cn` in China.
        let undocumented = |named: &String| {
            named == "logs.amazonaws.com" || service.strip_suffix(".cn").is_some_and(|plain| named == plain)
        };
        if self.services.iter().any(|named| named == service) {
            Ternary::Yes
        } else if self.services.iter().any(undocumented) {
            Ternary::Unknown
        } else {
            Ternary::No
        }
    }

    /// An allow for the account only delegates to it and does not name the role. A deny for the account
    /// covers its roles.
    fn names_role(&self, role: &RoleArn, effect: Effect) -> Ternary {
        let name = role.as_str().rsplit('/').next().unwrap_or_default();
        let session =
            format!("arn:{}:sts::{}:assumed-role/{name}/", role.partition(), role.account().as_str());
        if self.aws.iter().any(|named| named == role.as_str())
            || (effect == Effect::Deny && self.names_account(role))
        {
            Ternary::Yes
        } else if self.aws.iter().any(|named| named.starts_with(&session)) {
            Ternary::Unknown
        } else {
            Ternary::No
        }
    }

    fn names_account(&self, role: &RoleArn) -> bool {
        let account = role.account();
        let root = format!("arn:{}:iam::{account}:root", role.partition());
        self.aws.iter().any(|named| named == account.as_str() || *named == root)
    }
}
