//! The principal that a job acts for, as the job stores it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{
    principal::{Delegation, PolicyClaims, Principal, Scopes},
    serde_text,
    tenant::TenantId,
    time::Timestamp,
};

/// The principal that a job or a rule acts for. Tokens expire and jobs do not, so each item is authorized by
/// these values and the policies in effect when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creator {
    /// The tenant.
    #[serde(with = "serde_text")]
    pub tenant: TenantId,
    /// The subject of the token, or `rule/ID` for a rule of the configuration.
    pub subject: Box<str>,
    /// The issuer of the token, or `configuration`.
    pub issuer: Box<str>,
    /// The scopes of the token.
    pub scopes: Vec<Box<str>>,
    /// The claims that policies may use.
    pub claims: Vec<(Box<str>, Vec<Box<str>>)>,
    /// The `jti` of the token, or a hash of it.
    pub token_id: Box<str>,
    /// The person for whom a program created the job. Jobs that older releases stored have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Box<str>>,
    /// The program that created the job for this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Box<str>>,
}

// === impl Creator ===

impl Creator {
    /// The principal of the job's changes. It does not expire with the token.
    #[must_use]
    pub fn to_principal(&self) -> Principal {
        let Self { tenant, subject, issuer, scopes, claims, token_id, on_behalf_of, actor } = self;
        let claims = claims.iter().map(|(path, texts)| (path.clone(), texts.clone().into_boxed_slice()));
        Principal {
            tenant: tenant.clone(),
            subject: Arc::from(&**subject),
            issuer: Arc::from(&**issuer),
            scopes: scopes.iter().map(|scope| &**scope).collect::<Scopes>(),
            claims: claims.collect::<PolicyClaims>(),
            token_id: Arc::from(&**token_id),
            expires: Timestamp::from_micros(i64::MAX),
            delegation: on_behalf_of.as_deref().zip(actor.as_deref()).map(|(on_behalf_of, actor)| {
                Delegation { on_behalf_of: on_behalf_of.into(), actor: actor.into() }
            }),
        }
    }
}

impl From<&Principal> for Creator {
    fn from(principal: &Principal) -> Self {
        let Principal { tenant, subject, issuer, scopes, claims, token_id, expires: _, delegation } =
            principal;
        Self {
            tenant: tenant.clone(),
            subject: (&**subject).into(),
            issuer: (&**issuer).into(),
            scopes: scopes.iter().map(Into::into).collect(),
            claims: claims.iter().map(|(path, texts)| (path.into(), texts.to_vec())).collect(),
            token_id: (&**token_id).into(),
            on_behalf_of: delegation.as_ref().map(|delegation| (&*delegation.on_behalf_of).into()),
            actor: delegation.as_ref().map(|delegation| (&*delegation.actor).into()),
        }
    }
}
