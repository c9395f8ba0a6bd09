//! Reads rules: those of callers and those of the configuration together.

use std::sync::Arc;

use super::{
    access::{authorize, not_found, require_read},
    stored::{configured_rules, find_rule},
    view::RuleView,
};
use crate::{
    domain::{
        fleet::{EncryptionRule, RuleId, RuleState},
        principal::Scope,
        tenant::{Tenant, TenantId},
    },
    ports::rules::{RuleFilter, RuleKey},
    service::{
        context::Context,
        error::{AccessError, Error},
        fleet::ports::Fleet,
        queries::page_token::{PageCursor, RequestTokens},
    },
};

/// A request to list rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleQuery {
    /// Rules in one of these states. Empty is every state.
    pub states: Vec<RuleState>,
    /// Rules of this tenant.
    pub tenant: Option<TenantId>,
    /// The maximum number of results.
    pub page_size: usize,
    /// The token of the previous page, not yet verified.
    pub unverified_page_token: Box<str>,
}

/// One page of rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulePage {
    /// The rules, by priority and id.
    pub rules: Vec<RuleView>,
    /// The token of the next page; empty on the last.
    pub next_page_token: Box<str>,
}

impl Fleet {
    /// Reads a rule.
    ///
    /// # Errors
    ///
    /// [`Error`], if the rule does not exist, or the caller may not read it.
    pub async fn rule(
        &self,
        mut cx: Context,
        id: RuleId,
        tenant: Option<TenantId>,
    ) -> Result<RuleView, Error> {
        let read = self.try_rule(&mut cx, &id, tenant).await;
        cx.record_read(read)
    }

    async fn try_rule(
        &self,
        cx: &mut Context,
        id: &RuleId,
        requested: Option<TenantId>,
    ) -> Result<RuleView, Error> {
        require_read(cx)?;
        cx.audit.detail(&format!("encryption rule {id}"));
        let own = cx.tenant()?;
        let is_operator = cx.caller.scopes.contains(Scope::Admin);
        let is_other = requested.as_ref().is_some_and(|tenant| *tenant != own.id);
        if is_other && !is_operator {
            return Err(not_found(id));
        }
        let tenants = match requested {
            _ if !is_operator => vec![own],
            Some(tenant) => cx.tenants().into_iter().filter(|it| it.id == tenant).collect(),
            // The operator's own tenant comes first.
            None => {
                let others = cx.tenants().into_iter().filter(|it| it.id != own.id).collect::<Vec<_>>();
                std::iter::once(own).chain(others).collect()
            }
        };
        let rule = self.find_in(cx, &tenants, id).await?.ok_or_else(|| not_found(id))?;
        authorize(cx, Some(rule.tenant()), id.as_str())?;
        self.rule_view(cx, rule).await
    }

    /// The first of the tenants' rules with this id.
    async fn find_in(
        &self,
        cx: &Context,
        tenants: &[Arc<Tenant>],
        id: &RuleId,
    ) -> Result<Option<EncryptionRule>, Error> {
        if id.is_generated() && tenants.len() > 1 {
            let found = cx.in_turn(self.ports.rules.find(None, id)).await?;
            return Ok(found.filter(|rule| tenants.iter().any(|tenant| tenant.id == *rule.tenant())));
        }
        let declares =
            |tenant: &&Arc<Tenant>| id.is_generated() || tenant.rules.iter().any(|rule| rule.id == *id);
        match tenants.iter().find(declares) {
            Some(tenant) => cx.in_turn(find_rule(self, tenant, id)).await,
            None => Ok(None),
        }
    }

    /// Lists one page of rules.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not list rules, or the page token is invalid.
    pub async fn rules(&self, mut cx: Context, query: RuleQuery) -> Result<RulePage, Error> {
        let read = self.rule_page(&mut cx, query).await;
        cx.record_read(read)
    }

    async fn rule_page(&self, cx: &mut Context, query: RuleQuery) -> Result<RulePage, Error> {
        let RuleQuery { states, tenant, page_size, unverified_page_token } = query;
        require_read(cx)?;
        cx.tenant()?;
        let scope = format!("rules\n{states:?}\n{tenant:?}");
        let tokens = RequestTokens::of(cx, &scope);
        let cursor: PageCursor = tokens.open(&unverified_page_token)?;
        let after = cursor.after.as_deref().and_then(parse_position);
        let mut tenants = cx.tenants();
        let owner = match visible_owner(cx, tenant)? {
            Owner::Nobody => return Ok(RulePage::default()),
            Owner::All => None,
            Owner::Tenant(owner) => {
                tenants.retain(|tenant| tenant.id == owner);
                Some(owner)
            }
        };
        let mut found = Vec::new();
        for tenant in tenants.iter().filter(|tenant| !tenant.rules.is_empty()) {
            let rules = cx.in_turn(configured_rules(self, tenant)).await?;
            found.extend(rules.into_iter().filter(|rule| {
                (states.is_empty() || states.contains(&rule.status.state))
                    && after.as_ref().is_none_or(|after| RuleKey::from(rule) > *after)
            }));
        }
        let limit = u32::try_from(page_size + 1).unwrap_or(u32::MAX);
        let filter = RuleFilter { tenant: owner, states, after };
        let stored = cx.in_turn(self.ports.rules.list(&filter, limit)).await?;
        found.extend(stored.into_iter().filter(|rule| tenants.iter().any(|it| it.id == *rule.tenant())));
        found.sort_by_cached_key(|rule| RuleKey::from(rule));
        let has_more = found.len() > page_size;
        found.truncate(page_size);
        let last = found.last().filter(|_| has_more).map(|rule| position(&RuleKey::from(rule)));
        let mut rules = Vec::with_capacity(found.len());
        for rule in found {
            rules.push(self.rule_view(cx, rule).await?);
        }
        let next_page_token =
            last.map_or_else(Box::default, |last| tokens.seal(PageCursor { aws: None, after: Some(last) }));
        Ok(RulePage { rules, next_page_token })
    }
}

/// Whose rules a call lists.
enum Owner {
    /// Those of one tenant.
    Tenant(TenantId),
    /// Those of all tenants.
    All,
    /// None, because the caller may not see the rules of the tenant that it names.
    Nobody,
}

fn visible_owner(cx: &mut Context, requested: Option<TenantId>) -> Result<Owner, Error> {
    let own = cx.tenant()?.id.clone();
    let is_operator = cx.caller.scopes.contains(Scope::Admin);
    let owner = match requested {
        Some(requested) if requested != own && !is_operator => return Ok(Owner::Nobody),
        Some(requested) => requested,
        None if is_operator => match authorize(cx, None, "") {
            Ok(()) => return Ok(Owner::All),
            // An operator whom policy denies the rules of all tenants still sees its own.
            Err(Error::Access(AccessError::NotAllowed { .. })) => own,
            Err(error) => return Err(error),
        },
        None => own,
    };
    authorize(cx, Some(&owner), "")?;
    Ok(Owner::Tenant(owner))
}

/// The position of a rule as a page token contains it.
fn position(key: &RuleKey) -> Box<str> {
    let RuleKey { priority, id, tenant } = key;
    format!("{priority}/{id}/{tenant}").into()
}

fn parse_position(text: &str) -> Option<RuleKey> {
    let mut parts = text.splitn(3, '/');
    let (priority, id, tenant) = (parts.next()?, parts.next()?, parts.next()?);
    Some(RuleKey { priority: priority.parse().ok()?, id: id.parse().ok()?, tenant: tenant.parse().ok()? })
}
