//! Lists the log groups of an account and Region that the tenant may see, whatever AWS returns.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    Error, KeyBroker,
    change::feedback,
    history::sighting,
    locate,
    page::{Bound, Cursor},
    read, require,
    trail::Trail,
};
use crate::{
    domain::{
        ask::AskList,
        association::{GetKeyAssociation, KeyAssociation, KeyFilter, ListKeyAssociations, Resource, Target},
        authorization::{Access, Authorized},
        call::Call,
        history::Known,
        key::KeyHealth,
        principal::{Principal, Scope},
        tenant::Tenant,
    },
    ports::{
        LogGroup, LogGroupPage, UpstreamError,
        limit::{Lane, Operation},
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
    pub async fn list(&self, call: &Call, who: &Principal, ask: AskList) -> Result<Page, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let result = self.page(call, who, &ask, &mut trail).await;
        match &result {
            Ok(_) => trail.read(&self.ports),
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    async fn page(
        &self,
        call: &Call,
        who: &Principal,
        ask: &AskList,
        trail: &mut Trail,
    ) -> Result<Page, Error> {
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let place = locate::place(&tenant, &ask.place)?;
        let asked = format!("{}\n{}\n{}\n{:?}", place.account, place.region, ask.prefix, ask.filter);
        let bound = Bound { tenant: &tenant.id, asked: &asked };
        let mut cursor = Cursor::open(&ask.unverified_page_token, bound)?;
        let prefix = (!ask.prefix.is_empty()).then_some(&*ask.prefix);
        let command = ListKeyAssociations { place: place.clone() };
        let permit = self.permit(call, who, &tenant, command, trail)?;

        let mut associations = Vec::new();
        for _ in 0..MAX_AWS_PAGES {
            let at = self.ports.clock.now();
            let (access, token) = (permit.access(), cursor.aws.as_deref());
            let page = self.aws_page(access, prefix, token, call.deadline, trail).await?;
            self.saw(page.groups.iter().map(|group| sighting(&place, group, at)));
            let after = cursor.after.take();
            let seen = |group: &LogGroup| after.as_deref().is_some_and(|after| group.name.as_str() <= after);
            let groups: Vec<LogGroup> = page.groups.into_iter().filter(|group| !seen(group)).collect();
            let visible = groups.into_iter().filter(|group| {
                let target = Target::LogGroup(group.name.clone());
                self.may_see(call, who, &tenant, &Resource { place: place.clone(), target })
            });
            let page_of_ours = self.look(permit.access(), call, visible.collect()).await;
            let mut fitting =
                page_of_ours.into_iter().filter(|association| fits(ask.filter, association)).peekable();
            while associations.len() < ask.page_size
                && let Some(association) = fitting.next()
            {
                cursor.after = Some(name(&association).into());
                associations.push(association);
            }
            if fitting.peek().is_some() {
                // The caller's page is full in the middle of this page of AWS's.
                return Ok(Page { associations, next_page_token: cursor.seal(bound) });
            }
            cursor = Cursor { aws: page.next, after: None };
            if cursor.aws.is_none() {
                return Ok(Page { associations, next_page_token: Box::default() });
            }
            if associations.len() >= ask.page_size {
                break;
            }
        }
        Ok(Page { associations, next_page_token: cursor.seal(bound) })
    }

    /// One page of AWS's, whoever may see what stands on it.
    pub(super) async fn aws_page(
        &self,
        access: &Access,
        prefix: Option<&str>,
        token: Option<&str>,
        deadline: Instant,
        trail: &mut Trail,
    ) -> Result<LogGroupPage, Error> {
        let lane = Lane { place: access.place().clone(), operation: Operation::DescribeLogGroups };
        loop {
            let turn = self.ports.pace.turn(&lane, &access.tenant().id, deadline).await;
            let turn = turn.map_err(|none| Error::BudgetExhausted { retry_after: none.retry_after })?;
            let page = self.ports.log_groups.page(access, prefix, token, deadline).await;
            turn.used(feedback(&page.result));
            trail.via(page.via);
            match page.result {
                Ok(page) => return Ok(page),
                Err(UpstreamError::Throttled { .. }) => {}
                Err(error) => return Err(read::ended(error, deadline)),
            }
        }
    }

    /// Whether policy lets the caller read this: AWS cannot confine a list to names.
    pub(super) fn may_see(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        resource: &Resource,
    ) -> bool {
        let command = GetKeyAssociation { resource: resource.clone() };
        Authorized::decide(|question| self.decide(question), call, who, tenant, command).is_ok()
    }

    /// The groups as associations, with our record and their keys' health beside.
    async fn look(&self, access: &Access, call: &Call, groups: Vec<LogGroup>) -> Vec<KeyAssociation> {
        let resource = |group: &LogGroup| Resource {
            place: access.place().clone(),
            target: Target::LogGroup(group.name.clone()),
        };
        let resources: Vec<Resource> = groups.iter().map(resource).collect();
        let known = self.known(&resources).await.into_iter();
        let mut known: HashMap<Resource, Known> = known.map(|it| (it.resource.clone(), it)).collect();
        let keys = groups.iter().filter_map(|group| group.key.clone()).collect();
        let health = self.healths(access, keys, call.deadline).await;
        let now = self.ports.clock.now();
        let associations = groups.into_iter().zip(resources).map(|(group, resource)| {
            let known = known.remove(&resource);
            let association = read::live(resource, group, known, now);
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

fn fits(filter: KeyFilter, association: &KeyAssociation) -> bool {
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

fn name(association: &KeyAssociation) -> &str {
    match &association.resource.target {
        Target::LogGroup(name) => name.as_str(),
        Target::QueryResults => "",
    }
}
