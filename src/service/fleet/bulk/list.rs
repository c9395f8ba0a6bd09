//! Reads jobs and their items.

use super::{
    access::{Access, Visible, require_scope, visible_owner},
    view::JobView,
};
use crate::{
    domain::{
        association::UnresolvedLocation,
        fleet::{Item, ItemKey, ItemState, JobId, JobState},
        tenant::TenantId,
    },
    ports::bulk::{ItemFilter, JobFilter},
    service::{
        context::Context,
        error::{Error, FleetError},
        fleet::ports::Fleet,
        queries::page_token::{PageCursor, RequestTokens},
    },
};

/// A request to list jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobQuery {
    /// Jobs in one of these states. Empty is every state.
    pub states: Vec<JobState>,
    /// Jobs of this tenant.
    pub tenant: Option<TenantId>,
    /// The maximum number of results.
    pub page_size: usize,
    /// The token of the previous page, not yet verified.
    pub unverified_page_token: Box<str>,
}

/// One page of jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<JobView>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
}

/// A request to list the items of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemQuery {
    /// The job.
    pub job: JobId,
    /// The tenant that the job has to belong to.
    pub tenant: Option<TenantId>,
    /// Items in one of these states. Empty is every state.
    pub states: Vec<ItemState>,
    /// Items with one of these reasons. Empty is every item.
    pub reasons: Vec<Box<str>>,
    /// Items in this account or Region.
    pub location: UnresolvedLocation,
    /// The maximum number of results.
    pub page_size: usize,
    /// The token of the previous page, not yet verified.
    pub unverified_page_token: Box<str>,
}

/// One page of items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemPage {
    /// The items, in their order.
    pub items: Vec<Item>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
}

impl Fleet {
    /// Reads a job.
    ///
    /// # Errors
    ///
    /// [`Error`], if the job does not exist, or the caller may not read it.
    pub async fn get(&self, mut cx: Context, id: JobId) -> Result<JobView, Error> {
        let read = self.try_get(&mut cx, id).await;
        cx.record_read(read)
    }

    pub(super) async fn try_get(&self, cx: &mut Context, id: JobId) -> Result<JobView, Error> {
        let job = self.job(cx, id, Access::Read).await?;
        self.view(cx, job).await
    }

    /// Lists one page of jobs.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not list jobs, or the page token is invalid.
    pub async fn list(&self, mut cx: Context, query: JobQuery) -> Result<JobPage, Error> {
        let read = self.job_page(&mut cx, query).await;
        cx.record_read(read)
    }

    async fn job_page(&self, cx: &mut Context, query: JobQuery) -> Result<JobPage, Error> {
        let JobQuery { states, tenant, page_size, unverified_page_token } = query;
        require_scope(cx, Access::Read)?;
        cx.tenant()?;
        let scope = format!("jobs\n{states:?}\n{tenant:?}");
        let tokens = RequestTokens::of(cx, &scope);
        let cursor: PageCursor = tokens.open(&unverified_page_token)?;
        let tenant = match visible_owner(cx, tenant)? {
            Visible::All => None,
            Visible::Of(tenant) => Some(tenant),
            Visible::Nothing => return Ok(JobPage { jobs: Vec::new(), next_page_token: Box::default() }),
        };
        let before = cursor.after.as_deref().and_then(|id| id.parse().ok());
        let filter = JobFilter { tenant, states, before };
        let limit = u32::try_from(page_size + 1).unwrap_or(u32::MAX);
        let found = cx.in_long_turn(self.ports.jobs.list(&filter, limit)).await?;
        let more = found.len() > page_size;
        let mut jobs = Vec::with_capacity(found.len());
        for job in found.into_iter().take(page_size) {
            jobs.push(self.view(cx, job).await?);
        }
        let last = jobs.last().filter(|_| more).map(|view: &JobView| view.job.id.to_string().into());
        let next_page_token =
            last.map_or_else(Box::default, |last| tokens.seal(PageCursor { aws: None, after: Some(last) }));
        Ok(JobPage { jobs, next_page_token })
    }

    /// Lists one page of the items of a job.
    ///
    /// # Errors
    ///
    /// [`Error`], if the job does not exist, the caller may not read it, or the page token is invalid.
    pub async fn items(&self, mut cx: Context, query: ItemQuery) -> Result<ItemPage, Error> {
        let read = self.item_page(&mut cx, query).await;
        cx.record_read(read)
    }

    async fn item_page(&self, cx: &mut Context, query: ItemQuery) -> Result<ItemPage, Error> {
        let ItemQuery { job: id, tenant, states, reasons, location, page_size, unverified_page_token } =
            query;
        let job = self.job(cx, id, Access::Read).await?;
        if tenant.is_some_and(|tenant| tenant != job.creator.tenant) {
            return Err(Error::Fleet(FleetError::JobNotFound(id)));
        }
        let scope = format!("items\n{id}\n{states:?}\n{reasons:?}\n{location:?}");
        let tokens = RequestTokens::of(cx, &scope);
        let cursor: PageCursor = tokens.open(&unverified_page_token)?;
        let after = cursor.after.as_deref().and_then(|text| {
            let (location, seq) = text.split_once('/')?;
            Some(ItemKey { job: id, location: location.parse().ok()?, seq: seq.parse().ok()? })
        });
        let locations = if location == UnresolvedLocation::default() {
            None
        } else {
            let all = cx.in_turn(self.ports.jobs.locations(id)).await?;
            let matching = all.iter().filter(|it| {
                location.account.is_none_or(|account| account == it.location.account)
                    && location.region.as_ref().is_none_or(|region| *region == it.location.region)
            });
            Some(matching.map(|it| it.number).collect())
        };
        let filter = ItemFilter { job: id, states, reasons, locations };
        let limit = u32::try_from(page_size + 1).unwrap_or(u32::MAX);
        let mut items = cx.in_long_turn(self.ports.jobs.items(&filter, after, limit)).await?;
        let more = items.len() > page_size;
        items.truncate(page_size);
        let last = items.last().filter(|_| more);
        let last = last.map(|item| format!("{}/{}", item.key.location, item.key.seq).into());
        let next_page_token =
            last.map_or_else(Box::default, |last| tokens.seal(PageCursor { aws: None, after: Some(last) }));
        Ok(ItemPage { items, next_page_token })
    }
}
