//! Lists the log groups of an account and Region that the tenant may see, whatever AWS returns.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    Error, KeyBroker,
    audit_context::AuditContext,
    execute_change::upstream_outcome,
    observation_buffer::observation,
    page_token::{PageCursor, TokenScope},
    read, require_scope, resolve,
};
use crate::{
    domain::{
        association::{GetKeyAssociation, KeyAssociation, KeyFilter, ListKeyAssociations, Resource, Target},
        authorization::{Access, Authorized},
        call::Call,
        history::KeyRecord,
        key::KeyHealth,
        principal::{Principal, Scope},
        request::ListRequest,
        tenant::Tenant,
    },
    ports::{
        LogGroup, LogGroupPage, UpstreamError,
        limit::{Operation, QuotaKey},
    },
};

/// Most pages of AWS's that one answer is made from: 50 log groups each.
const MAX_AWS_PAGES: usize = 20;

/// Some associations, and where the rest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The associations, by name.
    pub associations: Vec<KeyAssociation>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
}

impl KeyBroker {
    /// A page of the tenant's log groups.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn list(
        &self,
        call: &Call,
        principal: &Principal,
        request: ListRequest,
    ) -> Result<Page, Error> {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let result = self.page(call, principal, &request, &mut audit).await;
        match &result {
            Ok(_) => audit.read(&self.ports),
            Err(error) => audit.record_refusal(&self.ports, error),
        }
        result
    }

    async fn page(
        &self,
        call: &Call,
        principal: &Principal,
        request: &ListRequest,
        audit: &mut AuditContext,
    ) -> Result<Page, Error> {
        require_scope(principal, Scope::Read)?;
        let tenant = self.tenant(principal)?;
        let location = resolve::resolve_place(&tenant, &request.location)?;
        let scope =
            format!("{}\n{}\n{}\n{:?}", location.account, location.region, request.prefix, request.filter);
        let bound = TokenScope { tenant: &tenant.id, scope: &scope };
        let mut cursor = PageCursor::decode(&request.unverified_page_token, bound)?;
        let prefix = (!request.prefix.is_empty()).then_some(&*request.prefix);
        let command = ListKeyAssociations { location: location.clone() };
        let permit = self.authorize(call, principal, &tenant, command, audit)?;

        let mut associations = Vec::new();
        for _ in 0..MAX_AWS_PAGES {
            let at = self.ports.clock.now();
            let (access, token) = (permit.access(), cursor.aws.as_deref());
            let page = self.fetch_page(access, prefix, token, call.deadline, audit).await?;
            self.observe(page.groups.iter().map(|group| observation(&location, group, at)));
            let after = cursor.after.take();
            let is_after =
                |group: &LogGroup| after.as_deref().is_some_and(|after| group.name.as_str() <= after);
            let groups: Vec<LogGroup> = page.groups.into_iter().filter(|group| !is_after(group)).collect();
            let visible = groups.into_iter().filter(|group| {
                let target = Target::LogGroup(group.name.clone());
                self.can_read(call, principal, &tenant, &Resource { location: location.clone(), target })
            });
            let page_of_ours = self.to_associations(permit.access(), call, visible.collect()).await;
            let mut fitting = page_of_ours
                .into_iter()
                .filter(|association| matches(request.filter, association))
                .peekable();
            while associations.len() < request.page_size
                && let Some(association) = fitting.next()
            {
                cursor.after = Some(sort_key(&association).into());
                associations.push(association);
            }
            if fitting.peek().is_some() {
                // The caller's page is full in the middle of this page of AWS's.
                return Ok(Page { associations, next_page_token: cursor.encode(bound) });
            }
            cursor = PageCursor { aws: page.next, after: None };
            if cursor.aws.is_none() {
                return Ok(Page { associations, next_page_token: Box::default() });
            }
            if associations.len() >= request.page_size {
                break;
            }
        }
        Ok(Page { associations, next_page_token: cursor.encode(bound) })
    }

    /// One page of AWS's, whoever may see what stands on it.
    pub(super) async fn fetch_page(
        &self,
        access: &Access,
        prefix: Option<&str>,
        token: Option<&str>,
        deadline: Instant,
        audit: &mut AuditContext,
    ) -> Result<LogGroupPage, Error> {
        let quota_key =
            QuotaKey { location: access.location().clone(), operation: Operation::DescribeLogGroups };
        loop {
            let permit = self.ports.limiter.acquire(&quota_key, &access.tenant().id, deadline).await;
            let permit = permit.map_err(|none| Error::BudgetExhausted { retry_after: none.retry_after })?;
            let page = self.ports.log_groups.page(access, prefix, token, deadline).await;
            permit.used(upstream_outcome(&page.result));
            audit.record_aws_call(page.via);
            match page.result {
                Ok(page) => return Ok(page),
                Err(UpstreamError::Throttled { .. }) => {}
                Err(error) => return Err(read::read_error(error, deadline)),
            }
        }
    }

    /// Whether policy lets the caller read this: AWS cannot confine a list to names.
    pub(super) fn can_read(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        resource: &Resource,
    ) -> bool {
        let command = GetKeyAssociation { resource: resource.clone() };
        Authorized::decide(|question| self.decide(question), call, principal, tenant, command).is_ok()
    }

    /// The groups as associations, with our record and their keys' health beside.
    async fn to_associations(
        &self,
        access: &Access,
        call: &Call,
        groups: Vec<LogGroup>,
    ) -> Vec<KeyAssociation> {
        let resource = |group: &LogGroup| Resource {
            location: access.location().clone(),
            target: Target::LogGroup(group.name.clone()),
        };
        let resources: Vec<Resource> = groups.iter().map(resource).collect();
        let record = self.load_records(&resources).await.into_iter();
        let mut record: HashMap<Resource, KeyRecord> = record.map(|it| (it.resource.clone(), it)).collect();
        let keys = groups.iter().filter_map(|group| group.key.clone()).collect();
        let health = self.key_healths(access, keys, call.deadline).await;
        let now = self.ports.clock.now();
        let associations = groups.into_iter().zip(resources).map(|(group, resource)| {
            let record = record.remove(&resource);
            let association = read::live_association(resource, group, record, now);
            let (health, key_deletion) = association
                .key
                .as_ref()
                .and_then(|key| health.get(key).copied())
                .unwrap_or((KeyHealth::NotChecked, None));
            KeyAssociation { health, key_deletion, ..association }
        });
        associations.collect()
    }
}

fn matches(filter: KeyFilter, association: &KeyAssociation) -> bool {
    match filter {
        KeyFilter::Any => true,
        KeyFilter::WithoutKey => association.key.is_none(),
        KeyFilter::WithKey => association.key.is_some(),
        KeyFilter::KeyUnhealthy => match association.health {
            KeyHealth::Disabled | KeyHealth::PendingDeletion | KeyHealth::NotFound => true,
            KeyHealth::Usable | KeyHealth::NotChecked => false,
        },
    }
}

fn sort_key(association: &KeyAssociation) -> &str {
    match &association.resource.target {
        Target::LogGroup(name) => name.as_str(),
        Target::QueryResults => "",
    }
}
