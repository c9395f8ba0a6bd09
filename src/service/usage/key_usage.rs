//! Finds the resources that a key protects, and whether it may be deleted (`GetKeyUsage`).
//!
//! The current keys come from a scan of the log groups, as far as the deadline permits. Former keys come
//! from the service's own record. The response says how complete both are.

use std::sync::Arc;

use super::{
    coverage::Coverage,
    scan::{self, ScanResult},
    visibility,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{GetKeyUsage, Location, Source, Target, UnresolvedLocation},
        authorization::Authorized,
        history::{KeyRecord, KeyUse, Protection},
        key::KeyHealth,
        principal::Scope,
        request::UsageRequest,
        tenant::Tenant,
        time::Timestamp,
    },
    service::{
        context::Context,
        error::{Error, RequestError, StorageError},
        queries::page_token::{PageCursor, RequestTokens},
        shared::{
            key_health::{Health, health_of},
            lookup, resolve,
        },
    },
};

/// The maximum number of resources that one response covers. It says so if there are more.
const MAX_USES: usize = 20_000;
/// The number of records in one read from the store.
const STORE_PAGE: u32 = 1_000;

/// The resources that a key protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The key.
    pub key: KmsKeyArn,
    /// A page of the uses, in the order of the resources' ARNs.
    pub uses: Vec<KeyUse>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
    /// Whether the key may be deleted. Covers all pages.
    pub verdict: Verdict,
    /// The time from which no known data needs the key, if that is known.
    pub safe_after: Option<Timestamp>,
    /// When all log groups were last read. `None` if there is no complete scan.
    pub known_as_of: Option<Timestamp>,
    /// What the response is based on, as text for people.
    pub coverage: String,
    /// The key's health.
    pub health: KeyHealth,
    /// When KMS deletes the key, if its deletion is scheduled.
    pub deletion: Option<Timestamp>,
}

/// Whether a key may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is set on a resource now.
    InUse,
    /// Data that was written under the key has not expired.
    StillProtectsData,
    /// No resource is known to need the key, and everything was read.
    NoKnownUse,
    /// No resource is known to need the key, but not everything was read.
    Incomplete,
}

/// The resources that a key protects, as far as the caller's tenant may see them.
///
/// # Errors
///
/// [`Error`], if the caller may not read the usage, the key does not exist, or the store cannot be read.
pub async fn usage(mut cx: Context, request: UsageRequest) -> Result<Usage, Error> {
    cx.audit.requested(&request.key);
    let result = compute_usage(&mut cx, request).await;
    cx.record_read(result)
}

async fn compute_usage(cx: &mut Context, request: UsageRequest) -> Result<Usage, Error> {
    cx.require(Scope::Read)?;
    let tenant = cx.tenant()?;
    let key = resolve_key(cx, &tenant, &request).await?;
    cx.audit.resolved(&key);
    let permitted = visibility::authorized_locations(cx, &tenant, &key, &request).await?;
    let locations: Vec<Location> =
        permitted.iter().map(|authorized| authorized.command().location.clone()).collect();
    let scope = format!("{key}\n{locations:?}");
    let tokens = RequestTokens::of(cx, &scope);
    let cursor: PageCursor = tokens.open(&request.unverified_page_token)?;

    let first_page = cursor.after.is_none();
    let scanned = scan::scan_all(cx, &permitted, first_page).await?;
    let (health, deletion) = key_health(cx, &permitted, &key).await;
    let now = cx.ports().clock.now();
    let (records, truncated) = resources_with_key(cx, &tenant, &locations, &key).await?;
    let mut uses: Vec<KeyUse> = records.iter().filter_map(|it| key_use_of(it, &key, &scanned, now)).collect();
    uses.sort_by_cached_key(|it| it.resource.to_string());
    if records.is_empty() && health == KeyHealth::NotFound {
        let location = Location { account: key.account(), region: key.region().clone() };
        return Err(Error::Request(RequestError::KeyNotFound { key: request.key, location }));
    }

    let complete = !truncated && scanned.iter().all(ScanResult::is_complete);
    let verdict = verdict(&uses, complete);
    let known_as_of = scanned.iter().map(|it| it.known_as_of).min().flatten();
    let coverage = Coverage { tenant: &tenant.id, scanned: &scanned, truncated, uses: &uses };
    let safe_after = if complete { deletable_after(verdict, &uses, known_as_of) } else { None };
    let coverage = coverage.to_string();
    let (uses, next_page_token) = page(uses, &cursor, request.page_size, &tokens);
    Ok(Usage { key, uses, next_page_token, verdict, safe_after, known_as_of, coverage, health, deletion })
}

/// The ARN of the requested key. An alias or a bare key id is resolved in the one location that matches.
async fn resolve_key(
    cx: &mut Context,
    tenant: &Arc<Tenant>,
    request: &UsageRequest,
) -> Result<KmsKeyArn, Error> {
    let unresolved = match &request.key {
        KmsKeyId::Arn(arn) => return Ok(arn.clone()),
        KmsKeyId::AliasArn { account, region, .. } => UnresolvedLocation {
            account: request.location.account.or(Some(*account)),
            region: request.location.region.clone().or_else(|| Some(region.clone())),
        },
        KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => request.location.clone(),
    };
    let location = resolve::resolve_location(tenant, &unresolved)?;
    let access = visibility::authorize_location_read(cx, tenant, &location)?;
    lookup::resolve_key(cx, &access, &request.key).await
}

/// The key's health. Read in the key's own account if that is one of the locations.
async fn key_health(cx: &mut Context, permitted: &[Authorized<GetKeyUsage>], key: &KmsKeyArn) -> Health {
    let own = permitted.iter().find(|authorized| authorized.command().location.account == key.account());
    let Some(authorized) = own.or(permitted.first()) else { return (KeyHealth::NotChecked, None) };
    let key_id = KmsKeyId::Arn(key.clone());
    let described = cx.ports().keys.describe(authorized.access(), &key_id, cx.call.deadline).await;
    cx.audit.record_aws_call(described.via);
    health_of(described.result)
}

/// The records of resources that have or had the key, as far as the caller may see them, and whether they
/// are truncated.
async fn resources_with_key(
    cx: &Context,
    tenant: &Arc<Tenant>,
    locations: &[Location],
    key: &KmsKeyArn,
) -> Result<(Vec<KeyRecord>, bool), Error> {
    cx.state.flush_observations().await.map_err(StorageError::RecordUnavailable)?;
    let mut all: Vec<KeyRecord> = Vec::new();
    let mut after = None;
    loop {
        let history = &cx.ports().history;
        let found = cx.in_long_turn(history.resources_with_key(key, after.as_ref(), STORE_PAGE)).await?;
        after = found.last().map(|last| last.resource.clone());
        let is_last = found.len() < usize::try_from(STORE_PAGE).unwrap_or(usize::MAX);
        all.extend(
            found
                .into_iter()
                .filter(|it| locations.contains(&it.resource.location) && cx.can_read(tenant, &it.resource)),
        );
        if is_last || all.len() >= MAX_USES {
            return Ok((all, !is_last));
        }
    }
}

/// The use of the key by a resource. `None` if no data of the resource needs the key any more.
fn key_use_of(record: &KeyRecord, key: &KmsKeyArn, scanned: &[ScanResult], now: Timestamp) -> Option<KeyUse> {
    let protection = record.protection_from(key, now);
    let former = record.former.iter().find(|former| former.key == *key);
    let in_use = protection == Protection::InUse;
    let (since, observed_at) = match (in_use, former) {
        (true, former) => {
            (former.map_or(record.since, |former| former.since.min(record.since)), record.observed_at)
        }
        (false, Some(former)) => (former.since, former.observed_at),
        (false, None) => return None,
    };
    let read = scanned
        .iter()
        .any(|it| it.location == record.resource.location && it.read_by_this_scan(record.observed_at));
    let is_group = matches!(record.resource.target, Target::LogGroup(_));
    let source = if in_use && read && is_group { Source::Live } else { Source::Recorded };
    let used = KeyUse { resource: record.resource.clone(), since, observed_at, protection, source };
    (protection != Protection::Expired).then_some(used)
}

/// A known use is conclusive, but that there is none is so only if everything was read.
fn verdict(uses: &[KeyUse], complete: bool) -> Verdict {
    if uses.iter().any(|it| it.protection == Protection::InUse) {
        Verdict::InUse
    } else if !uses.is_empty() {
        Verdict::StillProtectsData
    } else if complete {
        Verdict::NoKnownUse
    } else {
        Verdict::Incomplete
    }
}

fn deletable_after(verdict: Verdict, uses: &[KeyUse], known_as_of: Option<Timestamp>) -> Option<Timestamp> {
    let until = |it: &KeyUse| match it.protection {
        Protection::Until(until) => Some(until),
        Protection::InUse | Protection::Forever | Protection::NotKnown | Protection::Expired => None,
    };
    match verdict {
        Verdict::InUse | Verdict::Incomplete => None,
        Verdict::StillProtectsData => {
            let dates: Option<Vec<Timestamp>> = uses.iter().map(until).collect();
            dates?.into_iter().max()
        }
        Verdict::NoKnownUse => known_as_of,
    }
}

/// The page after the cursor. `uses` are in the order of their ARNs, so a page is right even if a use ended
/// since the page before.
fn page(
    uses: Vec<KeyUse>,
    cursor: &PageCursor,
    size: usize,
    tokens: &RequestTokens,
) -> (Vec<KeyUse>, Box<str>) {
    let after = cursor.after.as_deref().unwrap_or_default();
    let begin = uses.partition_point(|it| it.resource.to_string().as_str() <= after);
    let rest = uses.len().saturating_sub(begin);
    let page: Vec<KeyUse> = uses.into_iter().skip(begin).take(size).collect();
    let next = match page.last() {
        Some(last) if rest > size => {
            tokens.seal(PageCursor { aws: None, after: Some(last.resource.to_string().into()) })
        }
        _ => Box::default(),
    };
    (page, next)
}
