//! One call to be judged, as an operator writes it on the command line or in a table.

use std::{collections::BTreeMap, net::IpAddr, str::FromStr, sync::Arc, time::Instant};

use clap::Args;
use serde::{Deserialize, Deserializer};

use crate::{
    app::SystemClock,
    auth::CedarPolicy,
    config::Settings,
    domain::{
        arn::KmsKeyArn,
        association::{Place, Target},
        authorization::{About, Decision, Denial, Facts, PreviousKey, Question, Whose},
        aws::{AccountId, Region},
        call::{Action, Call, RequestId},
        key::KeyTags,
        principal::{PolicyClaims, Principal},
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
    /// A claim that policies see, as PATH=TEXT; again for each claim, and for each text of a list
    #[arg(long = "claim", value_name = "PATH=TEXT")]
    #[serde(default, deserialize_with = "table")]
    claims: Vec<Pair>,
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
    /// The audit log of all tenants, in place of the tenant's own
    #[arg(long)]
    #[serde(default)]
    all_tenants: bool,
    /// The ARN of the key
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
    /// A tag that the key has in KMS, as TAG=VALUE; again for each
    #[arg(long = "key-tag", value_name = "TAG=VALUE")]
    #[serde(default, deserialize_with = "table")]
    key_tags: Vec<Pair>,
    /// The ARN of the key that is in force before a change; otherwise the AWS-owned default is
    #[arg(long, value_name = "ARN")]
    previous_key: Option<String>,
    /// Where the call comes from
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// When, such as 2026-01-31T08:00:00Z; otherwise now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// A name with a value.
#[derive(Clone, Debug)]
pub(super) struct Pair(Box<str>, Box<str>);

/// One text or several, as a table has them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(Box<str>),
    Many(Vec<Box<str>>),
}

/// A call that can be put to policy.
pub(super) struct Ready {
    pub(super) policy: CedarPolicy,
    pub(super) tenant: Arc<Tenant>,
    principal: Principal,
    call: Call,
    about: Subject,
    key: Option<KmsKeyArn>,
    facts: Facts,
}

/// What the call is about.
enum Subject {
    Aws { grant: Option<Arc<AccountGrant>>, place: Place, target: Option<Target> },
    AuditLog(Whose),
    Tenant,
    Account(Option<Arc<AccountGrant>>),
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

fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pair>, D::Error> {
    let table = BTreeMap::<Box<str>, Texts>::deserialize(deserializer)?;
    let pairs = table.into_iter().flat_map(|(name, texts)| {
        let texts = match texts {
            Texts::One(text) => vec![text],
            Texts::Many(texts) => texts,
        };
        texts.into_iter().map(move |text| Pair(name.clone(), text))
    });
    Ok(pairs.collect())
}

// === impl Pair ===

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("has no = between a name and its value")?;
        Ok(Self(name.into(), value.into()))
    }
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
        let about = self.about(action, tenant)?;
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
            principal: Principal {
                tenant: tenant.id.clone(),
                subject: self.subject.as_str().into(),
                issuer: self.issuer.as_deref().unwrap_or(first).into(),
                scopes: self.scopes.iter().map(String::as_str).collect(),
                claims: self.shown(),
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
            about,
            key: key.map_err(|why| format!("kms_key: {why}"))?,
            facts: self.facts()?,
        })
    }

    fn shown(&self) -> PolicyClaims {
        let mut claims: BTreeMap<Box<str>, Vec<Box<str>>> = BTreeMap::new();
        for Pair(path, text) in &self.claims {
            claims.entry(path.clone()).or_default().push(text.clone());
        }
        claims.into_iter().map(|(path, texts)| (path, texts.into())).collect()
    }

    fn facts(&self) -> Result<Facts, String> {
        let tags: KeyTags =
            self.key_tags.iter().map(|Pair(tag, value)| (tag.clone(), value.clone())).collect();
        let previous_key = match &self.previous_key {
            Some(arn) => PreviousKey::Key(arn.parse().map_err(|why| format!("previous_key: {why}"))?),
            None => PreviousKey::Nothing,
        };
        Ok(Facts { key_tags: Some(tags), previous_key })
    }

    fn about(&self, action: Action, tenant: &Tenant) -> Result<Subject, String> {
        if action.reads_audit() {
            return self.audit_log();
        }
        if action == Action::GetCaller {
            return Ok(Subject::Tenant);
        }
        if action == Action::GetOnboarding {
            return Ok(Subject::Account(tenant.grant(self.account(tenant)?).cloned()));
        }
        self.aws(tenant)
    }

    fn aws(&self, tenant: &Tenant) -> Result<Subject, String> {
        let place = self.place(tenant)?;
        let target = match &self.log_group {
            Some(_) if self.query_results => {
                return Err("log_group and query_results: name one of them".into());
            }
            Some(name) => Some(Target::LogGroup(name.parse().map_err(|why| format!("log_group: {why}"))?)),
            None => self.query_results.then_some(Target::QueryResults),
        };
        let grant = tenant.grant(place.account).filter(|grant| grant.opens_region(&place.region)).cloned();
        Ok(Subject::Aws { grant, place, target })
    }

    fn audit_log(&self) -> Result<Subject, String> {
        if self.log_group.is_some() || self.query_results {
            return Err(format!("log_group, query_results: {} is about the audit log", self.action));
        }
        Ok(Subject::AuditLog(if self.all_tenants { Whose::All } else { Whose::Own }))
    }

    fn account(&self, tenant: &Tenant) -> Result<AccountId, String> {
        match (&self.account_id, &*tenant.accounts) {
            (Some(text), _) => text.parse().map_err(|why| format!("account_id: {why}")),
            (None, [only]) => Ok(only.account),
            (None, _) => Err("account_id: is required, since the tenant has not just one".into()),
        }
    }

    fn place(&self, tenant: &Tenant) -> Result<Place, String> {
        let account = self.account(tenant)?;
        let regions = tenant.grant(account).map_or(&[][..], |grant| &*grant.regions);
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
            action: self.call.action,
            about: match &self.about {
                Subject::Aws { grant, place, target } => {
                    About::Aws { grant: grant.as_deref()?, place, target: target.as_ref() }
                }
                Subject::AuditLog(whose) => About::AuditLog(*whose),
                Subject::Tenant => About::Tenant,
                Subject::Account(grant) => About::Account(grant.as_deref()?),
            },
            key: self.key.as_ref(),
            facts: &self.facts,
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
