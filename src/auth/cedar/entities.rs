//! Builds the entities that policies can use, as the schema defines them.

use std::sync::LazyLock;

use super::{
    engine::values::{Entity, EntityType, Value},
    resource_kind::{ALL_TENANTS, ResourceKind},
};
use crate::domain::{
    arn::{KmsKeyArn, ResourceArn},
    association::{Location, Target},
    authorization::{FleetResource, LogScope},
    aws::{AccountId, Partition},
    call::Action,
    fleet_kind::FleetKind,
    key::KeyTags,
    principal::Principal,
    tenant::{Tenant, TenantId},
};

/// The schema's entity types and actions, which are the same for every request.
pub(super) struct EntityBuilder {
    actions: Vec<(Action, Entity)>,
    caller: EntityType,
    tenant: EntityType,
    account: EntityType,
    log_group: EntityType,
    query_results: EntityType,
    location: EntityType,
    audit_log: EntityType,
    fleet: [(FleetKind, EntityType); 3],
    key: EntityType,
}

// === impl EntityBuilder ===

impl EntityBuilder {
    /// None if the schema lacks a type.
    pub(super) fn get() -> Option<&'static Self> {
        static BUILDER: LazyLock<Option<EntityBuilder>> = LazyLock::new(EntityBuilder::load);
        BUILDER.as_ref()
    }

    fn load() -> Option<Self> {
        let named = EntityType::named;
        let action = named("Action")?;
        let actions = Action::ALL.into_iter().filter_map(|one| Some((one, action_entity(&action, one)?)));
        Some(Self {
            actions: actions.collect(),
            caller: named("Caller")?,
            tenant: named("Tenant")?,
            account: named("Account")?,
            log_group: named("LogGroup")?,
            query_results: named("QueryResults")?,
            location: named("Place")?,
            audit_log: named("AuditLog")?,
            fleet: [
                (FleetKind::BulkJob, named("BulkJob")?),
                (FleetKind::EncryptionRule, named("EncryptionRule")?),
                (FleetKind::Coverage, named("Coverage")?),
            ],
            key: named("Key")?,
        })
    }

    pub(super) fn action(&self, action: Action) -> Option<Entity> {
        self.actions.iter().find(|(one, _)| *one == action).map(|(_, entity)| entity.clone())
    }

    pub(super) fn caller(&self, principal: &Principal) -> Entity {
        let Principal { subject, issuer, tenant, scopes, claims, delegation, .. } = principal;
        let claims =
            claims.iter().map(|(path, texts)| (path, Value::strings(texts.iter().map(|text| &**text))));
        let delegation = delegation.iter().flat_map(|delegation| {
            [
                ("onBehalfOf", Value::string(&delegation.on_behalf_of)),
                ("actor", Value::string(&delegation.actor)),
            ]
        });
        let attributes = [
            ("subject", Value::string(subject)),
            ("issuer", Value::string(issuer)),
            ("tenant", Value::string(tenant.as_str())),
            ("scopes", Value::strings(scopes.iter())),
        ]
        .into_iter()
        .chain(delegation);
        let id = self.caller.id(&format!("{issuer}|{subject}"));
        Entity::with_tags(id, attributes, Some(self.tenant.id(tenant.as_str())), claims)
    }

    pub(super) fn tenant(&self, tenant: &TenantId) -> Entity {
        Entity::new(self.tenant.id(tenant.as_str()), [], None)
    }

    pub(super) fn account(&self, account: AccountId) -> Entity {
        let account = account.as_str();
        Entity::new(self.account.id(account), [("account", Value::string(account))], None)
    }

    pub(super) fn key(&self, key: &KmsKeyArn, tags: Option<&KeyTags>) -> Entity {
        let account = self.account.id(key.account().as_str());
        let tags = tags.into_iter().flat_map(KeyTags::iter);
        let tags = tags.map(|(tag, value)| (tag, Value::string(value)));
        Entity::with_tags(self.key.id(key.as_str()), key_members(key), Some(account), tags)
    }

    pub(super) fn audit_log(&self, tenant: &Tenant, log_scope: LogScope) -> Entity {
        match log_scope {
            LogScope::Own => {
                let id = tenant.id.as_str();
                let parent = self.tenant.id(id);
                Entity::new(self.audit_log.id(id), [("tenant", Value::string(id))], Some(parent))
            }
            LogScope::All => Entity::new(self.audit_log.id(ALL_TENANTS), [], None),
        }
    }

    /// An object of the fleet. Without an id, the owner's objects as a whole.
    pub(super) fn fleet(&self, resource: FleetResource<'_>) -> Option<Entity> {
        let (_, of_kind) = self.fleet.iter().find(|(kind, _)| *kind == resource.kind)?;
        let owner = resource.owner.map_or(ALL_TENANTS, TenantId::as_str);
        let id = if resource.id.is_empty() { owner } else { resource.id };
        let parent = resource.owner.map(|owner| self.tenant.id(owner.as_str()));
        Some(Entity::new(of_kind.id(id), [("tenant", Value::string(owner))], parent))
    }

    pub(super) fn resource(
        &self,
        kind: ResourceKind,
        location: &Location,
        target: Option<&Target>,
    ) -> Entity {
        let Location { account, region } = location;
        let arn = |target: &Target| {
            let partition = Partition::of(region);
            ResourceArn { partition, region: region.clone(), account: *account, target: target.clone() }
                .to_string()
        };
        let parent = Some(self.account.id(account.as_str()));
        let (account, region) =
            (("account", Value::string(account.as_str())), ("region", Value::string(region.as_str())));
        match (kind, target) {
            (ResourceKind::LogGroup, Some(target @ Target::LogGroup(name))) => Entity::new(
                self.log_group.id(&arn(target)),
                [("name", Value::string(name.as_str())), account, region],
                parent,
            ),
            (ResourceKind::QueryResults, Some(target)) => {
                Entity::new(self.query_results.id(&arn(target)), [account, region], parent)
            }
            (_, _) => {
                let id = format!("{}/{}", location.account, location.region);
                Entity::new(self.location.id(&id), [account, region], parent)
            }
        }
    }
}

/// The entity of an action, with its group in the schema as the parent.
fn action_entity(of: &EntityType, action: Action) -> Option<Entity> {
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
        Action::CreateBulkAssociation
        | Action::StartBulkAssociation
        | Action::PauseBulkAssociation
        | Action::ResumeBulkAssociation
        | Action::CancelBulkAssociation
        | Action::RetryBulkAssociation
        | Action::RevertBulkAssociation
        | Action::GetBulkAssociation
        | Action::ListBulkAssociations
        | Action::ListBulkAssociationItems
        | Action::WatchBulkAssociation => "Bulk",
        Action::CreateEncryptionRule
        | Action::GetEncryptionRule
        | Action::ListEncryptionRules
        | Action::UpdateEncryptionRule
        | Action::DeleteEncryptionRule
        | Action::EvaluateEncryptionRule => "Rule",
        Action::GetCoverage | Action::ListCoverageFindings | Action::GetCoverageHistory => "Coverage",
        Action::Unknown => return None,
    };
    Some(Entity::new(of.id(action.as_str()), [], Some(of.id(group))))
}

/// The attributes of a key.
pub(super) fn key_members(key: &KmsKeyArn) -> [(&'static str, Value); 3] {
    [
        ("arn", Value::string(key.as_str())),
        ("account", Value::string(key.account().as_str())),
        ("region", Value::string(key.region().as_str())),
    ]
}
