//! Tells where a key matters, and whether it may be deleted as far as is known.
//!
//! Every log group of the place is read first, as far as the deadline lets that; what was before, only
//! our own record knows. The answer says in words how much that is.

mod coverage;
mod permits;
mod survey;

use std::sync::Arc;

pub(super) use self::survey::Surveys;
use self::{coverage::Coverage, survey::Surveyed};
use super::{
    Error, KeyBroker, locate,
    page::{Bound, Cursor},
    require,
    trail::Trail,
};
use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    ask::AskUsage,
    association::{GetKeyUsage, Place, Source, Target, UnresolvedPlace},
    authorization::Authorized,
    call::Call,
    history::{KeyUse, Known, Protection},
    key::{KeyHealth, KeyMetadata},
    principal::{Principal, Scope},
    tenant::Tenant,
    time::Timestamp,
};

/// Most resources that one answer looks at; where there are more, it says so.
const MAX_USES: usize = 20_000;
/// How many the store gives at once.
const AT_ONCE: u32 = 1_000;

/// Where a key matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The key.
    pub key: KmsKeyArn,
    /// A page of what it protects, by account, Region and name.
    pub uses: Vec<KeyUse>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
    /// What follows, from all pages.
    pub verdict: Verdict,
    /// From when on no known data needs the key, where that can be said.
    pub safe_after: Option<Timestamp>,
    /// When every log group was last read, where that ever was.
    pub known_as_of: Option<Timestamp>,
    /// What the answer is based on, for people.
    pub coverage: String,
    /// Whether the key can be used.
    pub health: KeyHealth,
    /// When it will be deleted, where that is scheduled.
    pub deletion: Option<Timestamp>,
}

/// Whether a key may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is set on something now.
    InUse,
    /// Data that was written under it has not expired.
    StillProtectsData,
    /// Nothing is known that needs it.
    NoKnownUse,
}

type Permits = Vec<Authorized<GetKeyUsage>>;

impl KeyBroker {
    /// Where the key matters, as far as the caller's tenant may see.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn usage(&self, call: &Call, who: &Principal, ask: AskUsage) -> Result<Usage, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        trail.requested(&ask.key);
        let result = self.used(call, who, ask, &mut trail).await;
        match &result {
            Ok(_) => trail.read(&self.ports),
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    async fn used(
        &self,
        call: &Call,
        who: &Principal,
        ask: AskUsage,
        trail: &mut Trail,
    ) -> Result<Usage, Error> {
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let key = self.meant(call, who, &tenant, &ask, trail).await?;
        trail.resolved(&key);
        let permits = self.usage_permits(call, who, &tenant, (&key, &ask), trail).await?;
        let places: Vec<Place> = permits.iter().map(|permit| permit.command().place.clone()).collect();
        let asked = format!("{key}\n{places:?}");
        let bound = Bound { tenant: &tenant.id, asked: &asked };
        let cursor = Cursor::open(&ask.unverified_page_token, bound)?;

        let first_page = cursor.after.is_none();
        let surveyed = self.survey_all(call, &permits, first_page, trail).await?;
        let (health, deletion) = self.key_itself(call, &permits, &key, trail).await;
        let now = self.ports.clock.now();
        let (known, truncated) = self.touched(call, who, &tenant, &places, &key).await?;
        let mut uses: Vec<KeyUse> = known.iter().filter_map(|it| used_by(it, &key, &surveyed, now)).collect();
        uses.sort_by_cached_key(|it| it.resource.to_string());
        if known.is_empty() && health == KeyHealth::NotFound {
            let place = Place { account: key.account(), region: key.region().clone() };
            return Err(Error::KeyNotFound { key: ask.key, place });
        }

        let verdict = verdict(&uses);
        let known_as_of = surveyed.iter().map(|it| it.known_as_of).min().flatten();
        let coverage = Coverage { tenant: &tenant.id, surveyed: &surveyed, truncated, uses: &uses };
        let safe_after = if truncated { None } else { safe_after(verdict, &uses, known_as_of) };
        let coverage = coverage.to_string();
        let (uses, next_page_token) = page(uses, &cursor, ask.page_size, bound);
        Ok(Usage { key, uses, next_page_token, verdict, safe_after, known_as_of, coverage, health, deletion })
    }

    /// The key that is meant; an alias or a bare id is looked up in the one place that fits.
    async fn meant(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        ask: &AskUsage,
        trail: &mut Trail,
    ) -> Result<KmsKeyArn, Error> {
        let said = match &ask.key {
            KmsKeyId::Arn(arn) => return Ok(arn.clone()),
            KmsKeyId::AliasArn { account, region, .. } => UnresolvedPlace {
                account: ask.place.account.or(Some(*account)),
                region: ask.place.region.clone().or_else(|| Some(region.clone())),
            },
            KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => ask.place.clone(),
        };
        let place = locate::place(tenant, &said)?;
        let access = self.usage_look(call, who, tenant, &place, trail)?;
        let described = self.ports.keys.describe(&access, &ask.key, call.deadline).await;
        trail.via(described.via);
        let found = described.result.map_err(|error| super::read::ended(error, call.deadline))?;
        found.map(|key| key.arn).ok_or_else(|| Error::KeyNotFound { key: ask.key.clone(), place })
    }

    /// The key's own health, asked in its own account where that is one of the places.
    async fn key_itself(
        &self,
        call: &Call,
        permits: &Permits,
        key: &KmsKeyArn,
        trail: &mut Trail,
    ) -> (KeyHealth, Option<Timestamp>) {
        let own = permits.iter().find(|permit| permit.command().place.account == key.account());
        let Some(permit) = own.or(permits.first()) else { return (KeyHealth::NotChecked, None) };
        let named = KmsKeyId::Arn(key.clone());
        let described = self.ports.keys.describe(permit.access(), &named, call.deadline).await;
        trail.via(described.via);
        match described.result {
            Ok(Some(KeyMetadata { state, deletion, .. })) => (state.health(), deletion),
            Ok(None) => (KeyHealth::NotFound, None),
            Err(_) => (KeyHealth::NotChecked, None),
        }
    }

    /// What has the key or had it, as far as the caller may see it; and whether that is not all.
    async fn touched(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        places: &[Place],
        key: &KmsKeyArn,
    ) -> Result<(Vec<Known>, bool), Error> {
        self.flush_history().await.map_err(Error::RecordUnavailable)?;
        let mut all: Vec<Known> = Vec::new();
        let mut after = None;
        loop {
            let found = self.ports.history.touched(key, after.as_ref(), AT_ONCE).await;
            let found = found.map_err(Error::RecordUnavailable)?;
            after = found.last().map(|last| last.resource.clone());
            let whole = found.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
            all.extend(found.into_iter().filter(|it| {
                places.contains(&it.resource.place) && self.may_see(call, who, tenant, &it.resource)
            }));
            if whole || all.len() >= MAX_USES {
                return Ok((all, !whole));
            }
        }
    }
}

/// The use of the key by what is known of a resource; none where nothing needs it any more.
fn used_by(known: &Known, key: &KmsKeyArn, surveyed: &[Surveyed], now: Timestamp) -> Option<KeyUse> {
    let protection = known.protection_by(key, now);
    let former = known.former.iter().find(|former| former.key == *key);
    let in_use = protection == Protection::InUse;
    let (since, seen) = match (in_use, former) {
        (true, former) => (former.map_or(known.since, |former| former.since.min(known.since)), known.seen),
        (false, Some(former)) => (former.since, former.seen),
        (false, None) => return None,
    };
    let read = surveyed.iter().any(|it| it.place == known.resource.place && it.read_for_this(known.seen));
    let is_group = matches!(known.resource.target, Target::LogGroup(_));
    let source = if in_use && read && is_group { Source::Live } else { Source::Recorded };
    let used = KeyUse { resource: known.resource.clone(), since, seen, protection, source };
    (protection != Protection::Over).then_some(used)
}

fn verdict(uses: &[KeyUse]) -> Verdict {
    if uses.iter().any(|it| it.protection == Protection::InUse) {
        Verdict::InUse
    } else if uses.is_empty() {
        Verdict::NoKnownUse
    } else {
        Verdict::StillProtectsData
    }
}

fn safe_after(verdict: Verdict, uses: &[KeyUse], known_as_of: Option<Timestamp>) -> Option<Timestamp> {
    let until = |it: &KeyUse| match it.protection {
        Protection::Until(until) => Some(until),
        Protection::InUse | Protection::Forever | Protection::NotKnown | Protection::Over => None,
    };
    match verdict {
        Verdict::InUse => None,
        Verdict::StillProtectsData => {
            let dates: Option<Vec<Timestamp>> = uses.iter().map(until).collect();
            dates?.into_iter().max()
        }
        Verdict::NoKnownUse => known_as_of,
    }
}

/// The page after the cursor; `uses` stand in the order of their ARNs, also where one of them is over
/// since the page before was made.
fn page(uses: Vec<KeyUse>, cursor: &Cursor, size: usize, bound: Bound<'_>) -> (Vec<KeyUse>, Box<str>) {
    let after = cursor.after.as_deref().unwrap_or_default();
    let begin = uses.partition_point(|it| it.resource.to_string().as_str() <= after);
    let rest = uses.len().saturating_sub(begin);
    let page: Vec<KeyUse> = uses.into_iter().skip(begin).take(size).collect();
    let next = match page.last() {
        Some(last) if rest > size => {
            Cursor { aws: None, after: Some(last.resource.to_string().into()) }.seal(bound)
        }
        _ => Box::default(),
    };
    (page, next)
}
