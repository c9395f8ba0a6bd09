//! One call to decide, as an operator writes it on the command line or in a test table.

use std::{collections::BTreeMap, net::IpAddr, str::FromStr, sync::Arc, time::Instant};

use clap::Args;
use serde::{Deserialize, Deserializer};

use crate::{
    app::SystemClock,
    auth::CedarPolicy,
    cli::config_file,
    config::Settings,
    domain::{
        arn::KmsKeyArn,
        association::{Location, Target},
        authorization::{
            AuthzRequest, Decision, Denial, FleetResource, LogScope, PolicyFacts, PreviousKey, ResourceScope,
        },
        aws::{AccountId, Region},
        call::{Action, Call, CallSummary, RequestId},
        fleet_kind::FleetKind,
        key::KeyTags,
        nearest::nearest,
        principal::{Delegation, PolicyClaims, Principal, Scope},
        tenant::{AccountGrant, Tenant, TenantId},
        time::Timestamp,
    },
    ports::Clock,
};

/// A call. An omitted account or Region is the tenant's only one.
#[derive(Args, Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallArgs {
    /// The caller's tenant
    #[arg(long)]
    tenant: String,
    /// The token's sub claim
    #[arg(long, default_value = "someone")]
    #[serde(default = "default_subject")]
    subject: String,
    /// The token's iss claim [default: the tenant's first issuer]
    #[arg(long)]
    issuer: Option<String>,
    /// The person for whom a program calls, as x-on-behalf-of names it [default: the subject, with --actor]
    #[arg(long, value_name = "PERSON")]
    on_behalf_of: Option<String>,
    /// The program that calls for a person, as act.sub names it [default: the subject, with --on-behalf-of]
    #[arg(long, value_name = "PROGRAM")]
    actor: Option<String>,
    /// The token's scopes, for policies that use them; those that the issuer may not grant do not count
    #[arg(long, value_delimiter = ' ')]
    #[serde(default)]
    scopes: Vec<String>,
    /// A claim for policies, as PATH=TEXT; repeat it for each claim, and for each text of a list
    #[arg(long = "claim", value_name = "PATH=TEXT")]
    #[serde(default, deserialize_with = "table")]
    claims: Vec<Pair>,
    /// The RPC, such as `AssociateKmsKey`
    #[arg(long)]
    action: String,
    /// The AWS account [default: the tenant's only one]
    #[arg(long, value_name = "ACCOUNT")]
    account_id: Option<String>,
    /// The Region [default: the only one that the tenant has in the account]
    #[arg(long)]
    region: Option<String>,
    /// The log group
    #[arg(long, value_name = "NAME", conflicts_with = "query_results")]
    log_group: Option<String>,
    /// The stored query results instead of a log group
    #[arg(long)]
    #[serde(default)]
    query_results: bool,
    /// The audit log, bulk jobs, rules or coverage of all tenants instead of the tenant's own
    #[arg(long)]
    #[serde(default)]
    all_tenants: bool,
    /// The tenant that owns the bulk job or the rule [default: the caller's tenant]
    #[arg(long, value_name = "TENANT", conflicts_with = "all_tenants")]
    owner: Option<String>,
    /// The id of the bulk job or the rule [default: one that does not exist yet, or the owner's list]
    #[arg(long, value_name = "ID")]
    #[serde(default)]
    id: Option<String>,
    /// The ARN of the key
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
    /// A tag of the key in KMS, as TAG=VALUE; repeat it for each tag
    #[arg(long = "key-tag", value_name = "TAG=VALUE")]
    #[serde(default, deserialize_with = "table")]
    key_tags: Vec<Pair>,
    /// The ARN of the key that is set before the change [default: the AWS-owned default]
    #[arg(long, value_name = "ARN")]
    previous_key: Option<String>,
    /// The caller's address
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// The time of the call, such as 2026-01-31T08:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// A name and a value.
#[derive(Clone, Debug)]
pub(super) struct Pair(Box<str>, Box<str>);

/// One text or a list of texts in a test table.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(Box<str>),
    Many(Vec<Box<str>>),
}

/// Everything that the policies need to decide one call.
pub(super) struct EvaluationInput {
    pub(super) policy: CedarPolicy,
    pub(super) tenant: Arc<Tenant>,
    principal: Principal,
    call: Call,
    about: Resource,
    key: Option<KmsKeyArn>,
    facts: PolicyFacts,
}

/// The resource of the call.
enum Resource {
    Aws { grant: Option<Arc<AccountGrant>>, location: Location, target: Option<Target> },
    AuditLog(LogScope),
    Tenant,
    Account(Option<Arc<AccountGrant>>),
    Fleet { kind: FleetKind, owner: Option<TenantId>, id: String },
}

/// A clock that always returns the same time.
struct FixedClock(Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn default_subject() -> String {
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
        let (name, value) = text.split_once('=').ok_or("expected a name and a value with = between them")?;
        Ok(Self(name.into(), value.into()))
    }
}

// === impl CallArgs ===

impl CallArgs {
    /// Builds the input of the policies. `default_time` is the time of a call that names none.
    ///
    /// # Errors
    ///
    /// The argument that is invalid and why, for people.
    pub(super) fn build(
        &self,
        settings: &Settings,
        default_time: Option<&str>,
    ) -> Result<EvaluationInput, String> {
        let id: TenantId = self.tenant.parse().map_err(|reason| format!("tenant: {reason}"))?;
        let tenant = config_file::tenant(settings, &id).map_err(|reason| format!("tenant: {reason}"))?;
        let action = Action::from_grpc_name(&self.action);
        if action == Action::Unknown {
            let names: Vec<&str> = Action::ALL.into_iter().map(Action::as_str).collect();
            let meant = nearest(&self.action, &names).map(|name| format!("did you mean {name}? "));
            return Err(format!(
                "action: {} is not an RPC that policies decide: {}it is one of {}",
                self.action,
                meant.unwrap_or_default(),
                names.join(", ")
            ));
        }
        let about = self.about(action, tenant)?;
        let key = self.kms_key.as_deref().map(str::parse).transpose();
        let at = match self.at.as_deref().or(default_time) {
            Some(text) => {
                let at: jiff::Timestamp = text.parse().map_err(|reason| format!("at: {reason}"))?;
                Timestamp::from_micros(at.as_microsecond())
            }
            None => SystemClock.now(),
        };
        let policy = CedarPolicy::load(
            Arc::new(settings.tenants.clone()),
            &settings.policy.files,
            Arc::new(FixedClock(at)),
        );
        let first = tenant.issuers.first().map_or("", |issuer| &**issuer);
        let issuer = self.issuer.as_deref().unwrap_or(first);
        let trusted = settings.auth.issuers.iter().find(|trusted| &*trusted.issuer == issuer);
        let counts = |scope: &&str| match trusted {
            Some(trusted) => trusted.may_grant(scope),
            None => !Scope::name_reaches_beyond_tenant(scope),
        };
        let received = Instant::now();
        Ok(EvaluationInput {
            policy: policy.map_err(|diagnostics| super::answer::lines(&diagnostics))?,
            tenant: Arc::clone(tenant),
            principal: Principal {
                tenant: tenant.id.clone(),
                subject: self.subject.as_str().into(),
                issuer: issuer.into(),
                scopes: self.scopes.iter().map(String::as_str).filter(counts).collect(),
                claims: self.policy_claims(),
                token_id: "none".into(),
                expires: at,
                delegation: self.delegation(),
            },
            call: Call {
                request_id: RequestId::new_v7(),
                action,
                source: self.source,
                unverified_user_agent: None,
                summary: CallSummary::default(),
                received,
                deadline: received,
            },
            about,
            key: key.map_err(|reason| format!("kms_key: {reason}"))?,
            facts: self.facts()?,
        })
    }

    fn delegation(&self) -> Option<Delegation> {
        let text = |text: &Option<String>| text.as_deref().unwrap_or(&self.subject).into();
        let is_delegated = self.on_behalf_of.is_some() || self.actor.is_some();
        is_delegated.then(|| Delegation { on_behalf_of: text(&self.on_behalf_of), actor: text(&self.actor) })
    }

    fn policy_claims(&self) -> PolicyClaims {
        let mut claims: BTreeMap<Box<str>, Vec<Box<str>>> = BTreeMap::new();
        for Pair(path, text) in &self.claims {
            claims.entry(path.clone()).or_default().push(text.clone());
        }
        claims.into_iter().map(|(path, texts)| (path, texts.into())).collect()
    }

    fn facts(&self) -> Result<PolicyFacts, String> {
        let tags: KeyTags =
            self.key_tags.iter().map(|Pair(tag, value)| (tag.clone(), value.clone())).collect();
        let previous_key = match &self.previous_key {
            Some(arn) => PreviousKey::Key(arn.parse().map_err(|reason| format!("previous_key: {reason}"))?),
            None => PreviousKey::Nothing,
        };
        Ok(PolicyFacts { key_tags: Some(tags), previous_key })
    }

    fn about(&self, action: Action, tenant: &Tenant) -> Result<Resource, String> {
        if action.reads_audit() {
            return self.audit_log();
        }
        if let Some(kind) = action.fleet_kind() {
            return self.fleet(kind, tenant);
        }
        if action == Action::GetCaller {
            return Ok(Resource::Tenant);
        }
        if action == Action::GetOnboarding {
            return Ok(Resource::Account(tenant.grant(self.account(tenant)?).cloned()));
        }
        self.aws(tenant)
    }

    fn aws(&self, tenant: &Tenant) -> Result<Resource, String> {
        let location = self.location(tenant)?;
        let target = match &self.log_group {
            Some(_) if self.query_results => {
                return Err("log_group and query_results: name only one of them".into());
            }
            Some(name) => {
                Some(Target::LogGroup(name.parse().map_err(|reason| format!("log_group: {reason}"))?))
            }
            None => self.query_results.then_some(Target::QueryResults),
        };
        let grant =
            tenant.grant(location.account).filter(|grant| grant.allows_region(&location.region)).cloned();
        Ok(Resource::Aws { grant, location, target })
    }

    fn fleet(&self, kind: FleetKind, tenant: &Tenant) -> Result<Resource, String> {
        let owner = match &self.owner {
            Some(owner) => Some(owner.parse().map_err(|reason| format!("owner: {reason}"))?),
            None => (!self.all_tenants).then(|| tenant.id.clone()),
        };
        Ok(Resource::Fleet { kind, owner, id: self.id.clone().unwrap_or_default() })
    }

    fn audit_log(&self) -> Result<Resource, String> {
        if self.log_group.is_some() || self.query_results {
            return Err(format!(
                "log_group, query_results: omit both, because {} is about the audit log",
                self.action
            ));
        }
        Ok(Resource::AuditLog(if self.all_tenants { LogScope::All } else { LogScope::Own }))
    }

    fn account(&self, tenant: &Tenant) -> Result<AccountId, String> {
        match (&self.account_id, &*tenant.accounts) {
            (Some(text), _) => text.parse().map_err(|reason| format!("account_id: {reason}")),
            (None, [only]) => Ok(only.account),
            (None, _) => {
                Err("account_id: is required, because the tenant does not have exactly one account".into())
            }
        }
    }

    fn location(&self, tenant: &Tenant) -> Result<Location, String> {
        let account = self.account(tenant)?;
        let regions = tenant.grant(account).map_or(&[][..], |grant| &*grant.regions);
        let region: Region =
            match (&self.region, regions) {
                (Some(text), _) => text.parse().map_err(|reason| format!("region: {reason}"))?,
                (None, [only]) => only.clone(),
                (None, _) => return Err(
                    "region: is required, because the tenant does not have exactly one Region in the account"
                        .into(),
                ),
            };
        Ok(Location { account, region })
    }
}

// === impl EvaluationInput ===

impl EvaluationInput {
    /// Evaluates the policies for the call. Returns `None` if the tenant has no grant there; the service
    /// evaluates no policy then.
    pub(super) fn evaluate<T>(
        &self,
        evaluate: impl FnOnce(&CedarPolicy, &AuthzRequest<'_>) -> T,
    ) -> Option<T> {
        let request = AuthzRequest {
            call: &self.call,
            principal: &self.principal,
            tenant: &self.tenant,
            action: self.call.action,
            about: match &self.about {
                Resource::Aws { grant, location, target } => {
                    ResourceScope::Aws { grant: grant.as_deref()?, location, target: target.as_ref() }
                }
                Resource::AuditLog(log_scope) => ResourceScope::AuditLog(*log_scope),
                Resource::Tenant => ResourceScope::Tenant,
                Resource::Account(grant) => ResourceScope::Account(grant.as_deref()?),
                Resource::Fleet { kind, owner, id } => {
                    ResourceScope::Fleet(FleetResource { kind: *kind, owner: owner.as_ref(), id })
                }
            },
            key: self.key.as_ref(),
            facts: &self.facts,
        };
        Some(evaluate(&self.policy, &request))
    }
}

/// A decision in one word, and the policies that made it.
pub(super) fn describe(decision: Option<&Decision>) -> (&'static str, Vec<&str>) {
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
