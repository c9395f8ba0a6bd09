//! Cedar values and entities, built from Rust values. A request is built from them, without parsing or
//! evaluating expressions.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use cedar_policy::RestrictedExpression;
use cedar_policy_core::{
    ast::{self, Eid, EntityUID, Literal, Name, PartialValue, RestrictedExpr},
    evaluator::RestrictedEvaluator,
    extensions::Extensions,
};
use smol_str::SmolStr;

/// A value that policies can use.
#[derive(Clone, Debug)]
pub(crate) struct Value(pub(super) ast::Value);

/// A type of the schema.
#[derive(Debug)]
pub(crate) struct EntityType(ast::EntityType);

/// The type and id of an entity.
#[derive(Clone, Debug)]
pub(crate) struct EntityId(EntityUID);

/// An entity with its attributes, its tags and at most one parent. A clone shares the entity.
#[derive(Clone, Debug)]
pub(crate) struct Entity(pub(super) Arc<ast::Entity>);

// === impl Value ===

impl Value {
    pub(crate) fn string(text: &str) -> Self {
        Self(text.into())
    }

    pub(crate) fn long(number: i64) -> Self {
        Self(number.into())
    }

    /// A set of strings.
    pub(crate) fn strings<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let texts = texts.into_iter().map(|text| Literal::from(SmolStr::from(text)));
        Self(ast::Value::set_of_lits(texts, None))
    }

    pub(crate) fn record<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self(ast::Value::record(members.map(|(name, value)| (name, value.0)), None))
    }

    /// A reference to the entity.
    pub(crate) fn entity(entity: &Entity) -> Self {
        Self(Literal::EntityUID(Arc::new(entity.0.uid().clone())).into())
    }

    /// An `ipaddr`.
    pub(crate) fn ip(address: IpAddr) -> Option<Self> {
        /// Parsed once. Cedar's public constructor parses the name again for each address.
        static IP: LazyLock<Option<Name>> = LazyLock::new(|| "ip".parse().ok());
        let text = RestrictedExpr::val(address.to_string());
        Self::evaluate(&RestrictedExpr::call_extension_fn(IP.clone()?, [text]))
    }

    /// A `datetime`, from text in the form that Cedar's `datetime` accepts.
    pub(crate) fn datetime(text: &str) -> Option<Self> {
        Self::evaluate(RestrictedExpression::new_datetime(text).as_ref())
    }

    fn evaluate(expression: &RestrictedExpr) -> Option<Self> {
        let evaluator = RestrictedEvaluator::new(Extensions::all_available());
        evaluator.interpret(expression.as_borrowed()).ok().map(Self)
    }
}

// === impl EntityType ===

impl EntityType {
    /// The type with this name in the schema's namespace.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name: Name = format!("LogKey::{name}").parse().ok()?;
        Some(Self(name.into()))
    }

    pub(crate) fn id(&self, id: &str) -> EntityId {
        EntityId(EntityUID::from_components(self.0.clone(), Eid::new(id), None))
    }
}

// === impl Entity ===

impl Entity {
    pub(crate) fn new<const N: usize>(
        id: EntityId,
        attributes: [(&str, Value); N],
        parent: Option<EntityId>,
    ) -> Self {
        Self::with_tags(id, attributes, parent, [])
    }

    pub(crate) fn with_tags<'t>(
        id: EntityId,
        attributes: impl IntoIterator<Item = (&'t str, Value)>,
        parent: Option<EntityId>,
        tags: impl IntoIterator<Item = (&'t str, Value)>,
    ) -> Self {
        let partial = |(name, value): (&str, Value)| (SmolStr::from(name), PartialValue::from(value.0));
        let attributes = attributes.into_iter().map(partial);
        let parents = parent.into_iter().map(|parent| parent.0).collect();
        let tags = tags.into_iter().map(partial);
        Self(Arc::new(ast::Entity::new_with_attr_partial_value(
            id.0,
            attributes,
            HashSet::new(),
            parents,
            tags,
        )))
    }
}
