//! Lists the resources that do not have the required key (`ListCoverageFindings`).

use serde::{Deserialize, Serialize};

use super::{
    access::{CoverageScope, Visible},
    locations::LocationReport,
    ports::CoverageQueries,
    texts,
};
use crate::{
    domain::{
        association::{Location, Resource, Target},
        fleet::FindingKind,
    },
    ports::coverage::{FindingFilter, FindingKey, FindingWindow, StoredFinding, TenantLocation},
    service::{context::Context, error::Error, queries::page_token::RequestTokens},
};

/// How many findings one response examines at most. A page can be short if the caller may see few of them.
const MAX_EXAMINED: u32 = 10_000;
/// How many findings one read from the store returns.
const STORE_PAGE: u32 = 500;

/// A request for findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingQuery {
    /// Findings of one of these kinds. Empty is every kind that needs a repair.
    pub kinds: Vec<FindingKind>,
    /// Which findings.
    pub scope: CoverageScope,
    /// The maximum number of results, 1 to 500.
    pub page_size: usize,
    /// The token of the previous page, not yet verified. Empty for the first page.
    pub unverified_page_token: Box<str>,
}

/// One page of findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingPage {
    /// The findings, by account, Region and name.
    pub findings: Vec<FindingView>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
    /// The locations that match the filters.
    pub locations: Vec<LocationReport>,
}

/// A finding with its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingView {
    /// The finding.
    pub stored: StoredFinding,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// The start of the next page, in a page token. It names only a finding that the caller got: those after it
/// that the caller may not see are a number.
#[derive(Default, Serialize, Deserialize)]
struct Position {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<AfterFinding>,
    skip: u32,
}

#[derive(Serialize, Deserialize)]
struct AfterFinding {
    account: String,
    region: String,
    name: String,
    tenant: String,
    rule: String,
    kind: i64,
}

impl CoverageQueries {
    /// Lists one page of the findings that the caller may see.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not read coverage, a filter names something that does not exist, the page
    /// token is invalid, or the store cannot be read.
    pub async fn findings(&self, mut cx: Context, query: FindingQuery) -> Result<FindingPage, Error> {
        let result = self.finding_page(&mut cx, &query).await;
        cx.record_read(result)
    }

    async fn finding_page(&self, cx: &mut Context, query: &FindingQuery) -> Result<FindingPage, Error> {
        let visible = self.visible(cx, &query.scope).await?;
        let owner = visible.as_ref().map(|visible| &visible.owner);
        let token_scope = format!("findings\n{:?}\n{:?}\n{owner:?}", query.scope, query.kinds);
        let tokens = RequestTokens::of(cx, &token_scope);
        let mut position: Position = tokens.open(&query.unverified_page_token)?;
        let Some(visible) = visible else { return Ok(FindingPage::default()) };
        let filter = FindingFilter {
            locations: visible.filter(),
            rule: query.scope.rule.clone(),
            kinds: kinds(&query.kinds),
        };

        let mut findings = Vec::new();
        let mut examined = 0;
        let next_page_token = 'page: loop {
            if examined >= MAX_EXAMINED {
                break tokens.seal(position);
            }
            let window = FindingWindow { after: position.key(), skip: position.skip, limit: STORE_PAGE };
            let found = cx.in_long_turn(self.ports.store.findings(&filter, &window)).await?;
            let is_last = found.len() < usize::try_from(STORE_PAGE).unwrap_or(usize::MAX);
            for stored in found {
                if findings.len() == query.page_size {
                    break 'page tokens.seal(position);
                }
                examined += 1;
                if may_see(cx, &visible, &stored) {
                    position = Position::after(&stored.key());
                    let (message, remedy) = (texts::message(&stored.finding), texts::remedy(&stored.finding));
                    findings.push(FindingView { stored, message, remedy });
                } else {
                    position.skip += 1;
                }
            }
            if is_last {
                break Box::default();
            }
        };
        let locations = self.location_reports(cx, &visible).await?;
        Ok(FindingPage { findings, next_page_token, locations })
    }
}

/// The kinds to list.
fn kinds(requested: &[FindingKind]) -> Vec<FindingKind> {
    if requested.is_empty() {
        FindingKind::ALL.into_iter().filter(|kind| kind.needs_repair()).collect()
    } else {
        requested.to_vec()
    }
}

fn may_see(cx: &Context, visible: &Visible, stored: &StoredFinding) -> bool {
    let at =
        TenantLocation { tenant: stored.tenant.clone(), location: stored.finding.resource.location.clone() };
    let readable = |tenant| cx.can_read(tenant, &stored.finding.resource);
    visible.granted.contains(&at) && visible.restricted_to.as_ref().is_none_or(readable)
}

// === impl Position ===

impl Position {
    fn after(key: &FindingKey) -> Self {
        let FindingKey { resource, tenant, rule, kind } = key;
        let name = match &resource.target {
            Target::LogGroup(name) => name.to_string(),
            Target::QueryResults => String::new(),
        };
        let after = AfterFinding {
            account: resource.location.account.to_string(),
            region: resource.location.region.to_string(),
            name,
            tenant: tenant.to_string(),
            rule: rule.as_deref().unwrap_or_default().to_owned(),
            kind: kind.number(),
        };
        Self { after: Some(after), skip: 0 }
    }

    /// The finding, if its texts are valid in this version of the service.
    fn key(&self) -> Option<FindingKey> {
        let AfterFinding { account, region, name, tenant, rule, kind } = self.after.as_ref()?;
        let location = Location { account: account.parse().ok()?, region: region.parse().ok()? };
        let target =
            if name.is_empty() { Target::QueryResults } else { Target::LogGroup(name.parse().ok()?) };
        Some(FindingKey {
            resource: Resource { location, target },
            tenant: tenant.parse().ok()?,
            rule: (!rule.is_empty()).then(|| rule.as_str().into()),
            kind: FindingKind::from_number(*kind)?,
        })
    }
}
