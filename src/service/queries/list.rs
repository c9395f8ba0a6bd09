//! Lists the log groups of a location that the caller may see.

use std::collections::HashMap;

use super::{
    get::live_association,
    page_token::{PageCursor, RequestTokens},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
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
        shared::{key_health, log_groups, lookup, observation_buffer::observation, resolve},
    },
};

/// The maximum number of AWS's pages that one response reads. Each has 50 log groups.
const MAX_AWS_PAGES: usize = 20;

/// One page of associations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The associations, by name.
    pub associations: Vec<KeyAssociation>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
}

/// Lists one page of the tenant's log groups.
///
/// # Errors
///
/// [`Error`], if the caller may not list the location, the page token is invalid, or AWS could not be read.
pub async fn list(mut cx: Context, request: ListRequest) -> Result<Page, Error> {
    let result = page(&mut cx, &request).await;
    cx.record_read(result)
}

async fn page(cx: &mut Context, request: &ListRequest) -> Result<Page, Error> {
    cx.require(Scope::Read)?;
    let tenant = cx.tenant()?;
    let location = resolve::resolve_location(&tenant, &request.location)?;
    cx.call.summary.set_location(&location);
    let scope =
        format!("{}\n{}\n{}\n{:?}", location.account, location.region, request.prefix, request.filter);
    let tokens = RequestTokens::of(cx, &scope);
    let mut cursor: PageCursor = tokens.open(&request.unverified_page_token)?;
    let prefix = (!request.prefix.is_empty()).then_some(&*request.prefix);
    let authorized = cx.authorize(ListKeyAssociations { location: location.clone() })?;

    let expected = expected_key(cx, authorized.access(), &request.filter).await?;
    let mut associations = Vec::new();
    for _ in 0..MAX_AWS_PAGES {
        let at = cx.state.fact_time(&location).await;
        let (access, token) = (authorized.access(), cursor.aws.as_deref());
        let page = log_groups::fetch_page(cx, access, prefix, token, cx.call.deadline).await?;
        cx.state.observations.add(page.groups.iter().map(|group| observation(&location, group, at)));
        let after = cursor.after.take();
        let is_returned =
            |group: &LogGroup| after.as_deref().is_some_and(|after| group.name.as_str() <= after);
        let groups: Vec<LogGroup> = page.groups.into_iter().filter(|group| !is_returned(group)).collect();
        let visible = groups.into_iter().filter(|group| {
            let target = Target::LogGroup(group.name.clone());
            cx.can_read(&tenant, &Resource { location: location.clone(), target })
        });
        let candidates = to_associations(cx, authorized.access(), visible.collect()).await;
        let mut matching = candidates
            .into_iter()
            .filter(|association| matches(&request.filter, expected.as_ref(), association))
            .peekable();
        while associations.len() < request.page_size
            && let Some(association) = matching.next()
        {
            cursor.after = Some(sort_key(&association).into());
            associations.push(association);
        }
        if matching.peek().is_some() {
            // The response is full before the end of AWS's page.
            return Ok(Page { associations, next_page_token: tokens.seal(cursor) });
        }
        cursor = PageCursor { aws: page.next, after: None };
        if cursor.aws.is_none() {
            return Ok(Page { associations, next_page_token: Box::default() });
        }
        if associations.len() >= request.page_size {
            break;
        }
    }
    Ok(Page { associations, next_page_token: tokens.seal(cursor) })
}

/// Completes the log groups from the service's own record, and reads the health of their keys.
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

/// The key that the filter compares with.
async fn expected_key(
    cx: &mut Context,
    access: &Access,
    filter: &KeyFilter,
) -> Result<Option<KmsKeyArn>, Error> {
    match filter {
        KeyFilter::Any | KeyFilter::WithoutKey | KeyFilter::WithKey | KeyFilter::KeyUnhealthy => Ok(None),
        KeyFilter::WithOtherKey(requested) => {
            cx.audit.requested(requested);
            let key = lookup::resolve_key(cx, access, requested).await?;
            resolve::check_region(&key, access.location())?;
            cx.audit.resolved(&key);
            Ok(Some(key))
        }
    }
}

fn matches(filter: &KeyFilter, expected: Option<&KmsKeyArn>, association: &KeyAssociation) -> bool {
    match filter {
        KeyFilter::Any => true,
        KeyFilter::WithoutKey => association.key.is_none(),
        KeyFilter::WithKey => association.key.is_some(),
        KeyFilter::WithOtherKey(_) => association.key.as_ref() != expected,
        KeyFilter::KeyUnhealthy => match association.health {
            KeyHealth::Disabled | KeyHealth::PendingDeletion | KeyHealth::NotFound => true,
            KeyHealth::NotChecked => association.key.is_some(),
            KeyHealth::Usable => false,
        },
    }
}

fn sort_key(association: &KeyAssociation) -> &str {
    match &association.resource.target {
        Target::LogGroup(name) => name.as_str(),
        Target::QueryResults => "",
    }
}
