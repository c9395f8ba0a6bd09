//! Converts an authorization request to Cedar's types, as the schema defines them.

use super::{
    engine::{
        fact_policies::PREVIOUS,
        request::{EvaluationRequest, RequestParts},
        values::{Entity, Value},
    },
    entities::{EntityBuilder, key_members},
    entity_cache::EntityCache,
    resource_kind::ResourceKind,
};
use crate::domain::authorization::{AuthzRequest, PreviousKey, ResourceScope};

/// A request in Cedar's types.
#[derive(Debug)]
pub(super) struct CedarRequest {
    pub(super) kind: ResourceKind,
    pub(super) evaluation: EvaluationRequest,
}

// === impl CedarRequest ===

impl CedarRequest {
    /// Converts a request. None if the action does not apply to this kind of resource, or if the schema has
    /// no such action.
    pub(super) fn of(question: &AuthzRequest<'_>, entities: &EntityCache) -> Option<Self> {
        let builder = EntityBuilder::get()?;
        let kind = ResourceKind::of(question)?;
        let resource = match question.about {
            ResourceScope::Aws { location, target, .. } => builder.resource(kind, location, target),
            ResourceScope::AuditLog(log_scope) => builder.audit_log(question.tenant, log_scope),
            ResourceScope::Tenant => builder.tenant(&question.tenant.id),
            ResourceScope::Account(grant) => builder.account(grant.account),
            ResourceScope::Fleet(resource) => builder.fleet(resource)?,
        };
        let key = question.key.map(|key| builder.key(key, question.facts.key_tags.as_ref()));
        let evaluation = EvaluationRequest::new(RequestParts {
            principal: entities.caller(question.principal, |principal| builder.caller(principal)),
            action: builder.action(question.action)?,
            resource,
            context: context(question, key.as_ref(), entities)?,
            key,
        })?;
        Some(Self { kind, evaluation })
    }
}

/// The members of the context. None if Cedar cannot represent one of them.
fn context(
    question: &AuthzRequest<'_>,
    key: Option<&Entity>,
    entities: &EntityCache,
) -> Option<[(&'static str, Option<Value>); 6]> {
    let now = entities.now()?;
    let previous = match &question.facts.previous_key {
        PreviousKey::Key(key) => Some(Value::record(key_members(key))),
        PreviousKey::Unknown | PreviousKey::Nothing => None,
    };
    let source = match question.call.source {
        Some(source) => Some(entities.address(source)?),
        None => None,
    };
    Some([
        ("now", Some(now.now.clone())),
        ("hour", Some(now.hour.clone())),
        ("weekday", Some(now.weekday.clone())),
        ("key", key.map(Value::entity)),
        (PREVIOUS, previous),
        ("source", source),
    ])
}
