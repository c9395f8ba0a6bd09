//! Lists the log groups of an account and Region that the tenant may see, whatever AWS returns.

use std::collections::HashMap;

use super::{
    get::live_association,
    page_token::{PageCursor, TokenScope},
};
use crate::{
    domain::{
        association::{KeyAssociation, KeyFilter, ListKeyAssociations, Resource, Target},
        authorization::Access,
        history::KeyRecord,
        key::KeyHealth,
        principal::Scope,
        request::ListRequest,
    },
    ports::LogGroup,
    service::{
        context::Context,
        error::Error,
        shared::{key_health, log_groups, observation_buffer::observation, resolve},
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

/// A page of the tenant's log groups.
///
/// # Errors
///
/// [`Error`], whose variants are every way this can end but success.
pub async fn list(mut cx: Context, request: ListRequest) -> Result<Page, Error> {
    let result = page(&mut cx, &request).await;
    cx.record_read(result)
}

async fn page(cx: &mut Context, request: &ListRequest) -> Result<Page, Error> {
    cx.require(Scope::Read)?;
    let tenant = cx.tenant()?;
    let location = resolve::resolve_location(&tenant, &request.location)?;
    let scope =
        format!("{}\n{}\n{}\n{:?}", location.account, location.region, request.prefix, request.filter);
    let bound = TokenScope { tenant: &tenant.id, scope: &scope };
    let mut cursor = PageCursor::decode(&request.unverified_page_token, bound)?;
    let prefix = (!request.prefix.is_empty()).then_some(&*request.prefix);
    let authorized = cx.authorize(ListKeyAssociations { location: location.clone() })?;

    let mut associations = Vec::new();
    for _ in 0..MAX_AWS_PAGES {
        let at = cx.ports().clock.now();
        let (access, token) = (authorized.access(), cursor.aws.as_deref());
        let page = log_groups::fetch_page(cx, access, prefix, token, cx.call.deadline).await?;
        cx.state.observations.add(page.groups.iter().map(|group| observation(&location, group, at)));
        let after = cursor.after.take();
        let is_after = |group: &LogGroup| after.as_deref().is_some_and(|after| group.name.as_str() <= after);
        let groups: Vec<LogGroup> = page.groups.into_iter().filter(|group| !is_after(group)).collect();
        let visible = groups.into_iter().filter(|group| {
            let target = Target::LogGroup(group.name.clone());
            cx.can_read(&tenant, &Resource { location: location.clone(), target })
        });
        let page_of_ours = to_associations(cx, authorized.access(), visible.collect()).await;
        let mut fitting =
            page_of_ours.into_iter().filter(|association| matches(request.filter, association)).peekable();
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

/// The groups as associations, with our record and their keys' health beside.
async fn to_associations(cx: &Context, access: &Access, groups: Vec<LogGroup>) -> Vec<KeyAssociation> {
    let resource = |group: &LogGroup| Resource {
        location: access.location().clone(),
        target: Target::LogGroup(group.name.clone()),
    };
    let resources: Vec<Resource> = groups.iter().map(resource).collect();
    let records = log_groups::load_records(cx, &resources).await.into_iter();
    let mut records: HashMap<Resource, KeyRecord> = records.map(|it| (it.resource.clone(), it)).collect();
    let keys = groups.iter().filter_map(|group| group.key.clone()).collect();
    let health = key_health::fetch_all(cx.ports(), access, keys, cx.call.deadline).await;
    let now = cx.ports().clock.now();
    let associations = groups.into_iter().zip(resources).map(|(group, resource)| {
        let record = records.remove(&resource);
        let association = live_association(resource, group, record, now);
        let (health, key_deletion) = association
            .key
            .as_ref()
            .and_then(|key| health.get(key).copied())
            .unwrap_or((KeyHealth::NotChecked, None));
        KeyAssociation { health, key_deletion, ..association }
    });
    associations.collect()
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
