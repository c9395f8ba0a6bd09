//! One call to be judged, as an operator writes it on the command line or in a table.

use std::{net::IpAddr, sync::Arc, time::Instant};

use clap::Args;
use serde::Deserialize;

use crate::{
    app::SystemClock,
    auth::CedarPolicy,
    config::Settings,
    domain::{
        arn::KmsKeyArn,
        association::{Place, Target},
        authorization::{Decision, Denial, Question},
        aws::{AccountId, Region},
        call::{Action, Call, RequestId},
        principal::Principal,
        tenant::{AccountGrant, Tenant, TenantId},
        time::Timestamp,
    },
    ports::Clock,
};

/// A call. What is left away is taken from the tenant where it has just one.
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The caller's tenant
    #[arg(long)]
    tenant: String,
    /// The token's sub
    #[arg(long, default_value = "someone")]
    #[serde(default = "someone")]
    subject: String,
    /// The token's iss; otherwise the tenant's first issuer
    #[arg(long)]
    issuer: Option<String>,
    /// The token's scopes, for policies that look at them
    #[arg(long, value_delimiter = ' ')]
    #[serde(default)]
    scopes: Vec<String>,
    /// The RPC, such as `AssociateKmsKey`
    #[arg(long)]
    action: String,
    /// The AWS account
    #[arg(long, value_name = "ACCOUNT")]
    account_id: Option<String>,
    /// The Region
    #[arg(long)]
    region: Option<String>,
    /// The log group
    #[arg(long, value_name = "NAME", conflicts_with = "query_results")]
    log_group: Option<String>,
    /// The stored query results, in place of a log group
    #[arg(long)]
    #[serde(default)]
    query_results: bool,
    /// The ARN of the key
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
    /// Where the call comes from
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// When, such as 2026-01-31T08:00:00Z; otherwise now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// A call that can be put to policy.
pub(super) struct Ready {
    pub(super) policy: CedarPolicy,
    pub(super) tenant: Arc<Tenant>,
    grant: Option<Arc<AccountGrant>>,
    principal: Principal,
    call: Call,
    place: Place,
    target: Option<Target>,
    key: Option<KmsKeyArn>,
}

/// A clock that stands.
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn someone() -> String {
    "someone".into()
}

// === impl Asked ===

impl Asked {
    /// Reads what is asked.
    ///
    /// # Errors
    ///
    /// What cannot be understood, for people.
    pub(super) fn ready(&self, settings: &Settings, default_time: Option<&str>) -> Result<Ready, String> {
        let id: TenantId = self.tenant.parse().map_err(|why| format!("tenant: {why}"))?;
        let tenant = settings.tenants.find(&id).ok_or_else(|| format!("tenant: there is no tenant {id}"))?;
        let action = Action::named(&self.action);
        if action == Action::Unknown {
            return Err(format!("action: {} is no RPC that policy is asked about", self.action));
        }
        let place = self.place(tenant)?;
        let target = match &self.log_group {
            Some(_) if self.query_results => {
                return Err("log_group and query_results: name one of them".into());
            }
            Some(name) => Some(Target::LogGroup(name.parse().map_err(|why| format!("log_group: {why}"))?)),
            None => self.query_results.then_some(Target::QueryResults),
        };
        let key = self.kms_key.as_deref().map(str::parse).transpose();
        let at = match self.at.as_deref().or(default_time) {
            Some(text) => {
                let at: jiff::Timestamp = text.parse().map_err(|why| format!("at: {why}"))?;
                Timestamp::from_micros(at.as_microsecond())
            }
            None => SystemClock.now(),
        };
        let policy =
            CedarPolicy::load(Arc::new(settings.tenants.clone()), &settings.policy.files, Arc::new(At(at)));
        let first = tenant.issuers.first().map_or("", |issuer| &**issuer);
        let received = Instant::now();
        Ok(Ready {
            policy: policy.map_err(|faults| super::lines(&faults))?,
            tenant: Arc::clone(tenant),
            grant: tenant.grant(place.account).filter(|grant| grant.opens_region(&place.region)).cloned(),
            principal: Principal {
                tenant: tenant.id.clone(),
                subject: self.subject.as_str().into(),
                issuer: self.issuer.as_deref().unwrap_or(first).into(),
                scopes: self.scopes.iter().map(String::as_str).collect(),
                token_id: "none".into(),
                expires: at,
            },
            call: Call {
                request_id: RequestId::random(),
                action,
                source: self.source,
                unverified_user_agent: None,
                received,
                deadline: received,
            },
            place,
            target,
            key: key.map_err(|why| format!("kms_key: {why}"))?,
        })
    }

    fn place(&self, tenant: &Tenant) -> Result<Place, String> {
        let account: AccountId = match (&self.account_id, &*tenant.accounts) {
            (Some(text), _) => text.parse().map_err(|why| format!("account_id: {why}"))?,
            (None, [only]) => only.account,
            (None, _) => return Err("account_id: is required, since the tenant has not just one".into()),
        };
        let regions = tenant.grant(account).map_or(&[][..], |grant| &grant.regions);
        let region: Region = match (&self.region, regions) {
            (Some(text), _) => text.parse().map_err(|why| format!("region: {why}"))?,
            (None, [only]) => only.clone(),
            (None, _) => return Err("region: is required, since the tenant has not just one there".into()),
        };
        Ok(Place { account, region })
    }
}

// === impl Ready ===

impl Ready {
    /// Puts the call to policy; none where the tenant has no grant there, so that policy is not asked.
    pub(super) fn judge<T>(&self, judge: impl FnOnce(&CedarPolicy, &Question<'_>) -> T) -> Option<T> {
        let question = Question {
            call: &self.call,
            principal: &self.principal,
            tenant: &self.tenant,
            grant: self.grant.as_deref()?,
            action: self.call.action,
            place: &self.place,
            target: self.target.as_ref(),
            key: self.key.as_ref(),
        };
        Some(judge(&self.policy, &question))
    }
}

/// A decision in one word, and the policies that made it.
pub(super) fn in_words(decision: Option<&Decision>) -> (&'static str, Vec<&str>) {
    match decision {
        Some(Decision::Allow { policies }) => ("allow", policies.iter().map(AsRef::as_ref).collect()),
        Some(Decision::Deny(Denial::Forbidden { policies })) => {
            ("forbid", policies.iter().map(AsRef::as_ref).collect())
        }
        Some(Decision::Deny(Denial::Undecided { policies })) => {
            ("undecided", policies.iter().map(AsRef::as_ref).collect())
        }
        Some(Decision::Deny(Denial::NotPermitted)) | None => ("not permitted", Vec::new()),
    }
}
