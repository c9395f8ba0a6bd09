//! Parses the JSON text of a policy and compiles it.

use std::{collections::BTreeMap, str::FromStr};

use serde::Deserialize;
use wildmatch::WildMatch;

use super::{
    condition::Condition,
    error::InvalidPolicy,
    evaluation::{Patterns, Policy, Principals, Statement},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    #[serde(rename = "Version")]
    _version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<StatementText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StatementText {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    principal: Option<PrincipalText>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<Scalar>>>,
}

#[derive(Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PrincipalText {
    Anyone(String),
    Named(Named),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Named {
    #[serde(default, rename = "AWS")]
    aws: OneOrMany<String>,
    #[serde(default)]
    service: OneOrMany<String>,
    #[serde(default, rename = "Federated")]
    _federated: OneOrMany<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Truth(bool),
    Number(serde_json::Number),
}

// === impl Policy ===

impl FromStr for Policy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let document: Document = serde_json::from_str(text).map_err(InvalidPolicy::Shape)?;
        let statements =
            document.statement.into_vec().into_iter().map(Statement::try_from).collect::<Result<_, _>>()?;
        Ok(Self { statements, text: text.into() })
    }
}

// === impl Statement ===

impl TryFrom<StatementText> for Statement {
    type Error = InvalidPolicy;

    fn try_from(text: StatementText) -> Result<Self, Self::Error> {
        let mut conditions = Vec::new();
        for (operator, keys) in text.condition {
            for (key, values) in keys {
                let values = values.into_vec().into_iter().map(Scalar::text).collect();
                conditions.push(Condition::read(&operator, key, values)?);
            }
        }
        let lower = |action: String| action.to_ascii_lowercase();
        // A trust policy has no resource; it applies to its role.
        let resource = match (&text.resource, &text.not_resource) {
            (None, None) => Some(OneOrMany::One("*".to_owned())),
            _ => text.resource,
        };
        Ok(Self {
            allow: matches!(text.effect, Effect::Allow),
            principals: text.principal.map(Principals::from),
            actions: patterns(text.action, text.not_action, "Action, NotAction", lower)?,
            resources: patterns(
                resource,
                text.not_resource,
                "Resource, NotResource",
                std::convert::identity,
            )?,
            conditions,
        })
    }
}

fn patterns(
    values: Option<OneOrMany<String>>,
    negated_values: Option<OneOrMany<String>>,
    names: &'static str,
    normalize: impl Fn(String) -> String,
) -> Result<Patterns, InvalidPolicy> {
    let (texts, negated) = match (values, negated_values) {
        (Some(texts), None) => (texts, false),
        (None, Some(texts)) => (texts, true),
        (Some(_), Some(_)) | (None, None) => return Err(InvalidPolicy::Pair(names)),
    };
    let any_of = texts.into_vec().into_iter().map(|text| WildMatch::new(&normalize(text))).collect();
    Ok(Patterns { negated, any_of })
}

// === impl Principals ===

impl From<PrincipalText> for Principals {
    fn from(text: PrincipalText) -> Self {
        match text {
            PrincipalText::Anyone(name) => Self { anyone: name == "*", ..Self::default() },
            PrincipalText::Named(named) => {
                let aws = named.aws.into_vec();
                Self { anyone: aws.iter().any(|name| name == "*"), aws, services: named.service.into_vec() }
            }
        }
    }
}

// === impl OneOrMany ===

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

// === impl Scalar ===

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}
