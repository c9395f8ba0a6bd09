//! A call as the engine evaluates it: its entities, and the request that refers to them.

use std::{collections::BTreeMap, sync::Arc};

use cedar_policy_core::{
    ast::{Context, EntityUIDEntry, Request},
    entities::{Entities, NoEntitiesSchema, TCComputation},
    evaluator::Evaluator,
    extensions::Extensions,
};
use smol_str::SmolStr;

use super::values::{Entity, Value};

/// A request with its entities.
#[derive(Debug)]
pub(crate) struct EvaluationRequest {
    pub(super) request: Request,
    pub(super) entities: Entities,
}

/// What a request consists of.
#[derive(Debug)]
pub(crate) struct RequestParts<const N: usize> {
    pub(crate) principal: Entity,
    pub(crate) action: Entity,
    pub(crate) resource: Entity,
    /// The key to which the context refers.
    pub(crate) key: Option<Entity>,
    /// The members of the context. A member without a value is absent.
    pub(crate) context: [(&'static str, Option<Value>); N],
}

// === impl EvaluationRequest ===

impl EvaluationRequest {
    /// Builds the request. None if two of its entities have the same id and different values.
    pub(crate) fn new<const N: usize>(parts: RequestParts<N>) -> Option<Self> {
        let RequestParts { principal, action, resource, key, context } = parts;
        let context: BTreeMap<SmolStr, _> = context
            .into_iter()
            .filter_map(|(name, value)| Some((SmolStr::new_static(name), value?.0)))
            .collect();
        let known = |entity: &Entity| EntityUIDEntry::known(entity.0.uid().clone(), None);
        // The schema defines what `CedarRequest` builds; the differential test compares them.
        let request = Request::new_unchecked(
            known(&principal),
            known(&action),
            known(&resource),
            Some(Context::Value(Arc::new(context))),
        );
        let schema: Option<&NoEntitiesSchema> = None;
        let all = [Some(resource), key, Some(action), Some(principal)].into_iter().flatten();
        // No entity has a grandparent, so the transitive closure needs no computation.
        let closure = TCComputation::AssumeAlreadyComputed;
        let entities = Entities::new()
            .add_entities(all.map(|entity| entity.0), schema, closure, Extensions::all_available())
            .ok()?;
        Some(Self { request, entities })
    }

    pub(super) fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self.request.clone(), &self.entities, Extensions::all_available())
    }
}
