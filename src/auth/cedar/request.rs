//! Converts an authorization request to Cedar's types, as the schema defines them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

use cedar_policy_core::{
    ast::{
        Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, Literal, Name, PartialValue, Request,
        Value,
    },
    entities::{Entities, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use smol_str::SmolStr;

use super::{entity_cache::EntityCache, fact_requirements::PREVIOUS};
use crate::domain::{
    arn::{KmsKeyArn, ResourceArn},
    association::{Location, Target},
    authorization::{AuthzRequest, LogScope, PreviousKey, ResourceScope},
    aws::{AccountId, Partition},
    call::Action,
    key::KeyTags,
    principal::Principal,
    tenant::Tenant,
};

/// The id of the audit log of all tenants. No tenant can have this id.
pub(super) const WHOLE_LOG: &str = "*";

/// The kinds of resources in policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ResourceKind {
    /// A log group.
    LogGroup,
    /// Stored query results.
    QueryResults,
    /// An account and a Region.
    Location,
    /// The audit log of one tenant or of all.
    AuditLog,
    /// The caller's own tenant.
    Tenant,
    /// An account in all Regions.
    Account,
}

/// A request in Cedar's types.
#[derive(Debug)]
pub(super) struct CedarRequest {
    pub(super) kind: ResourceKind,
    pub(super) request: Request,
    pub(super) entities: Entities,
}

/// The schema's entity types and actions, which are the same for every request.
struct Types {
    actions: Vec<(Action, Arc<Entity>)>,
    caller: EntityType,
    tenant: EntityType,
    account: EntityType,
    log_group: EntityType,
    query_results: EntityType,
    location: EntityType,
    audit_log: EntityType,
    key: EntityType,
}

static TYPES: LazyLock<Option<Types>> = LazyLock::new(Types::load_types);

// === impl CedarRequest ===

impl CedarRequest {
    /// Converts a request. None if the action does not apply to this kind of resource, or if the schema has
    /// no such action.
    pub(super) fn of(question: &AuthzRequest<'_>, entities: &EntityCache) -> Option<Self> {
        let types = TYPES.as_ref()?;
        let kind = kind(question)?;
        let action = types.action(question.action)?;
        let caller = entities.caller(question.principal, |principal| types.caller(principal));
        let resource = match question.about {
            ResourceScope::Aws { location, target, .. } => types.resource(kind, location, target),
            ResourceScope::AuditLog(log_scope) => types.audit_log(question.tenant, log_scope),
            ResourceScope::Tenant => entity(uid(&types.tenant, question.tenant.id.as_str()), [], None),
            ResourceScope::Account(grant) => types.account(grant.account),
        };
        let key = question.key.map(|key| types.key(key, question.facts.key_tags.as_ref()));
        let context = context(question, key.as_ref(), entities)?;
        let request = Request::new_unchecked(
            EntityUIDEntry::known(caller.uid().clone(), None),
            EntityUIDEntry::known(action.uid().clone(), None),
            EntityUIDEntry::known(resource.uid().clone(), None),
            Some(context),
        );
        let schema: Option<&NoEntitiesSchema> = None;
        let all =
            [Some(Arc::new(resource)), key.map(Arc::new), Some(action), Some(caller)].into_iter().flatten();
        let extensions = Extensions::all_available();
        // No entity has a grandparent, so the transitive closure needs no computation.
        let closure = TCComputation::AssumeAlreadyComputed;
        let entities = Entities::new().add_entities(all, schema, closure, extensions).ok()?;
        Some(Self { kind, request, entities })
    }
}

pub(super) fn kind(question: &AuthzRequest<'_>) -> Option<ResourceKind> {
    let kind = match question.about {
        ResourceScope::Aws { target: Some(Target::LogGroup(_)), .. } => ResourceKind::LogGroup,
        ResourceScope::Aws { target: Some(Target::QueryResults), .. } => ResourceKind::QueryResults,
        ResourceScope::Aws { target: None, .. } => ResourceKind::Location,
        ResourceScope::AuditLog(_) => ResourceKind::AuditLog,
        ResourceScope::Tenant => ResourceKind::Tenant,
        ResourceScope::Account(_) => ResourceKind::Account,
    };
    let is_target = matches!(kind, ResourceKind::LogGroup | ResourceKind::QueryResults);
    let applies = match question.action {
        // Without a key, policies about keys would not apply.
        Action::AssociateKmsKey => is_target && question.key.is_some(),
        Action::DisassociateKmsKey => is_target && question.key.is_none(),
        Action::GetKeyAssociation | Action::CheckKeyAssociation => is_target,
        Action::ListKeyAssociations | Action::GetKeyUsage | Action::TestAccess => {
            kind == ResourceKind::Location
        }
        Action::ListAuditEvents
        | Action::WatchAuditEvents
        | Action::GetCheckpoint
        | Action::GetInclusionProof
        | Action::GetConsistencyProof => kind == ResourceKind::AuditLog,
        Action::GetCaller => kind == ResourceKind::Tenant,
        Action::GetOnboarding => kind == ResourceKind::Account,
        Action::Unknown => false,
    };
    applies.then_some(kind)
}

fn context(question: &AuthzRequest<'_>, key: Option<&Entity>, entities: &EntityCache) -> Option<Context> {
    let now = entities.now()?;
    let mut members: BTreeMap<SmolStr, Value> = BTreeMap::from([
        ("now".into(), now.now.clone()),
        ("hour".into(), now.hour.into()),
        ("weekday".into(), now.weekday.clone().into()),
    ]);
    if let Some(key) = key {
        members.insert("key".into(), Literal::EntityUID(Arc::new(key.uid().clone())).into());
    }
    if let PreviousKey::Key(key) = &question.facts.previous_key {
        members.insert(SmolStr::new_static(PREVIOUS), Value::record(key_members(key), None));
    }
    if let Some(source) = question.call.source {
        members.insert("source".into(), entities.address(source)?);
    }
    Some(Context::Value(Arc::new(members)))
}

fn key_members(key: &KmsKeyArn) -> [(&'static str, Value); 3] {
    [
        ("arn", string_value(key.as_str())),
        ("account", string_value(key.account().as_str())),
        ("region", string_value(key.region().as_str())),
    ]
}

// === impl Types ===

impl Types {
    fn load_types() -> Option<Self> {
        let named = |name: &str| {
            let name: Name = format!("LogKey::{name}").parse().ok()?;
            Some(EntityType::from(name))
        };
        let action = named("Action")?;
        let actions =
            Action::ALL.into_iter().filter_map(|one| Some((one, Arc::new(entity_of(&action, one)?))));
        Some(Self {
            actions: actions.collect(),
            caller: named("Caller")?,
            tenant: named("Tenant")?,
            account: named("Account")?,
            log_group: named("LogGroup")?,
            query_results: named("QueryResults")?,
            location: named("Place")?,
            audit_log: named("AuditLog")?,
            key: named("Key")?,
        })
    }

    fn action(&self, action: Action) -> Option<Arc<Entity>> {
        self.actions.iter().find(|(one, _)| *one == action).map(|(_, entity)| Arc::clone(entity))
    }

    fn caller(&self, principal: &Principal) -> Entity {
        let Principal { subject, issuer, tenant, scopes, claims, .. } = principal;
        let claims = claims.iter().map(|(path, texts)| {
            let texts = texts.iter().map(|text| Literal::from(SmolStr::from(&**text)));
            (SmolStr::from(path), Value::set_of_lits(texts, None))
        });
        let scopes = scopes.iter().map(|scope| Literal::from(SmolStr::from(scope)));
        let attributes = [
            ("subject", string_value(subject)),
            ("issuer", string_value(issuer)),
            ("tenant", string_value(tenant.as_str())),
            ("scopes", Value::set_of_lits(scopes, None)),
        ];
        let id = uid(&self.caller, &format!("{issuer}|{subject}"));
        tagged(id, attributes, Some(uid(&self.tenant, tenant.as_str())), claims)
    }

    fn account(&self, account: AccountId) -> Entity {
        let account = account.as_str();
        entity(uid(&self.account, account), [("account", string_value(account))], None)
    }

    fn key(&self, key: &KmsKeyArn, tags: Option<&KeyTags>) -> Entity {
        let account = uid(&self.account, key.account().as_str());
        let tags = tags.into_iter().flat_map(KeyTags::iter);
        let tags = tags.map(|(tag, value)| (SmolStr::from(tag), string_value(value)));
        tagged(uid(&self.key, key.as_str()), key_members(key), Some(account), tags)
    }

    fn audit_log(&self, tenant: &Tenant, log_scope: LogScope) -> Entity {
        match log_scope {
            LogScope::Own => {
                let id = tenant.id.as_str();
                let parent = uid(&self.tenant, id);
                entity(uid(&self.audit_log, id), [("tenant", string_value(id))], Some(parent))
            }
            LogScope::All => entity(uid(&self.audit_log, WHOLE_LOG), [], None),
        }
    }

    fn resource(&self, kind: ResourceKind, location: &Location, target: Option<&Target>) -> Entity {
        let Location { account, region } = location;
        let arn = |target: &Target| {
            let partition = Partition::of(region);
            ResourceArn { partition, region: region.clone(), account: *account, target: target.clone() }
                .to_string()
        };
        let parent = Some(uid(&self.account, account.as_str()));
        let (account, region) =
            (("account", string_value(account.as_str())), ("region", string_value(region.as_str())));
        match (kind, target) {
            (ResourceKind::LogGroup, Some(target @ Target::LogGroup(name))) => entity(
                uid(&self.log_group, &arn(target)),
                [("name", string_value(name.as_str())), account, region],
                parent,
            ),
            (ResourceKind::QueryResults, Some(target)) => {
                entity(uid(&self.query_results, &arn(target)), [account, region], parent)
            }
            (_, _) => {
                let id = format!("{}/{}", location.account, location.region);
                entity(uid(&self.location, &id), [account, region], parent)
            }
        }
    }
}

/// The entity of an action, with its group in the schema as the parent.
fn entity_of(of: &EntityType, action: Action) -> Option<Entity> {
    let group = match action {
        Action::AssociateKmsKey | Action::DisassociateKmsKey => "Change",
        Action::GetKeyAssociation
        | Action::CheckKeyAssociation
        | Action::ListKeyAssociations
        | Action::GetKeyUsage => "Read",
        Action::ListAuditEvents
        | Action::WatchAuditEvents
        | Action::GetCheckpoint
        | Action::GetInclusionProof
        | Action::GetConsistencyProof => "Audit",
        Action::GetOnboarding | Action::TestAccess => "Setup",
        Action::GetCaller => "Self",
        Action::Unknown => return None,
    };
    Some(entity(uid(of, action.as_str()), [], Some(uid(of, group))))
}

fn string_value(value: &str) -> Value {
    value.into()
}

fn uid(of: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(of.clone(), Eid::new(id), None)
}

fn entity<const N: usize>(
    uid: EntityUID,
    attributes: [(&str, Value); N],
    parent: Option<EntityUID>,
) -> Entity {
    tagged(uid, attributes, parent, [])
}

fn tagged<const N: usize>(
    uid: EntityUID,
    attributes: [(&str, Value); N],
    parent: Option<EntityUID>,
    tags: impl IntoIterator<Item = (SmolStr, Value)>,
) -> Entity {
    let attributes = attributes.map(|(name, value)| (SmolStr::from(name), PartialValue::from(value)));
    let tags = tags.into_iter().map(|(name, value)| (name, PartialValue::from(value)));
    Entity::new_with_attr_partial_value(uid, attributes, HashSet::new(), parent.into_iter().collect(), tags)
}
