//! Lists the log groups of an account and Region that the tenant may see, whatever AWS returns.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream};

use super::{
    Error, KeyBroker,
    change::feedback,
    locate,
    page::{Bound, Cursor},
    read, require,
    trail::Trail,
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        ask::AskList,
        association::{
            GetKeyAssociation, KeyAssociation, KeyFilter, ListKeyAssociations, Place, Resource, Target,
        },
        authorization::{Access, Authorized},
        call::Call,
        key::KeyHealth,
        principal::{Principal, Scope},
        tenant::Tenant,
        time::Timestamp,
    },
    ports::{
        LogGroup, LogGroupPage, UpstreamError,
        limit::{Lane, Operation},
    },
};

/// Most pages of AWS's that one answer is made from: 50 log groups each.
const MAX_AWS_PAGES: usize = 20;
/// Most keys whose health one answer looks at; the rest is told as not checked.
const MAX_KEYS: usize = 100;
/// Keys that are looked at side by side.
const KEYS_AT_ONCE: usize = 8;

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
        let bound = Bound { tenant: &tenant.id, place: &place, prefix: &ask.prefix, filter: ask.filter };
        let mut cursor = Cursor::open(&ask.unverified_page_token, bound)?;
        let command = ListKeyAssociations { place: place.clone() };
        let permit = self.permit(call, who, &tenant, command, trail)?;

        let mut associations = Vec::new();
        for _ in 0..MAX_AWS_PAGES {
            let page = self.aws_page(permit.access(), call, ask, &cursor, trail).await?;
            let after = cursor.after.take();
            let seen = |group: &LogGroup| after.as_deref().is_some_and(|after| group.name.as_str() <= after);
            let groups: Vec<LogGroup> = page.groups.into_iter().filter(|group| !seen(group)).collect();
            let visible = groups.into_iter().filter(|group| self.may_see(call, who, &tenant, &place, group));
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

    async fn aws_page(
        &self,
        access: &Access,
        call: &Call,
        ask: &AskList,
        cursor: &Cursor,
        trail: &mut Trail,
    ) -> Result<LogGroupPage, Error> {
        let lane = Lane { place: access.place().clone(), operation: Operation::DescribeLogGroups };
        let prefix = (!ask.prefix.is_empty()).then_some(&*ask.prefix);
        loop {
            let turn = self.ports.pace.turn(&lane, &access.tenant().id, call.deadline).await;
            let turn = turn.map_err(|none| Error::BudgetExhausted { retry_after: none.retry_after })?;
            let page = self.ports.log_groups.page(access, prefix, cursor.aws.as_deref(), call.deadline).await;
            turn.used(feedback(&page.result));
            trail.via(page.via);
            match page.result {
                Ok(page) => return Ok(page),
                Err(UpstreamError::Throttled { .. }) => {}
                Err(error) => return Err(read::ended(error, call.deadline)),
            }
        }
    }

    /// Whether policy lets the caller read this log group: AWS cannot confine a list to names.
    fn may_see(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        place: &Place,
        group: &LogGroup,
    ) -> bool {
        let resource = Resource { place: place.clone(), target: Target::LogGroup(group.name.clone()) };
        let command = GetKeyAssociation { resource };
        Authorized::decide(|question| self.ports.policy.decide(question), call, who, tenant, command).is_ok()
    }

    /// The groups as associations, with our record and their keys' health beside.
    async fn look(&self, access: &Access, call: &Call, groups: Vec<LogGroup>) -> Vec<KeyAssociation> {
        let resource = |group: &LogGroup| Resource {
            place: access.place().clone(),
            target: Target::LogGroup(group.name.clone()),
        };
        let resources: Vec<Resource> = groups.iter().map(resource).collect();
        let known = self.ports.history.known(&resources).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "listing without our own record");
            Vec::new()
        });
        let known: HashMap<_, _> = known.iter().map(|known| (&known.resource, known)).collect();
        let health = self.healths(access, call, &groups).await;
        let now = self.ports.clock.now();
        let associations = groups.into_iter().zip(resources).map(|(group, resource)| {
            let known = known.get(&resource).copied();
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

    async fn healths(
        &self,
        access: &Access,
        call: &Call,
        groups: &[LogGroup],
    ) -> HashMap<KmsKeyArn, (KeyHealth, Option<Timestamp>)> {
        let mut keys: Vec<KmsKeyArn> = groups.iter().filter_map(|group| group.key.clone()).collect();
        keys.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        keys.dedup();
        keys.truncate(MAX_KEYS);
        stream::iter(keys)
            .map(|key| async move {
                let health = self.health(access, &key, call.deadline).await;
                (key, health)
            })
            .buffer_unordered(KEYS_AT_ONCE)
            .collect()
            .await
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
