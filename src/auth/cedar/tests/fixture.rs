//! Two tenants with accounts, and calls to decide.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Instant,
};

use super::super::CedarPolicy;
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Target},
        authorization::{
            AuthzRequest, Decision, Denial, FleetResource, LogScope, PolicyFacts, PreviousKey, RequiredFacts,
            ResourceScope,
        },
        call::{Action, Call, CallSummary, RequestId},
        key::KeyTags,
        principal::{PolicyClaims, Principal},
        tenant::{AccountGrant, Limits, Tenant, TenantId, Tenants},
        time::Timestamp,
    },
    ports::{Authorize, Clock},
};

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// 2026-11-23, a Monday, at 10:00 in UTC.
pub(super) const MONDAY: i64 = 1_795_428_000;

#[derive(Debug)]
pub(super) struct TestClock(pub(super) AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(SeqCst))
    }
}

pub(super) fn grant(account: &str) -> AccountGrant {
    AccountGrant {
        account: account.parse().unwrap(),
        role: format!("arn:aws:iam::{account}:role/LogKey").parse().unwrap(),
        external_id: "external".parse().unwrap(),
        regions: ["eu-west-1".parse().unwrap(), "us-east-1".parse().unwrap()].into(),
        log_groups: vec!["/payments/*".parse().unwrap(), "/shared/audit".parse().unwrap()],
        kms_keys: vec![format!("arn:aws:kms:*:{account}:key/*").parse().unwrap()],
        query_results: false,
        verify_query_results: false,
    }
}

pub(super) fn tenant(id: &str, accounts: Vec<AccountGrant>) -> Tenant {
    let one = NonZeroU32::MIN;
    Tenant {
        id: id.parse().unwrap(),
        issuers: vec!["https://idp.test".into()],
        claim_values: vec![id.into()],
        suspended: false,
        limits: Limits { per_second: one, burst: one, max_in_flight: one },
        accounts: accounts.into_iter().map(Arc::new).collect(),
        rules: Vec::new(),
    }
}

/// The parameters of one call.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) tenant: &'static str,
    pub(super) subject: &'static str,
    pub(super) scopes: &'static str,
    pub(super) action: Action,
    pub(super) account: &'static str,
    pub(super) region: &'static str,
    /// The name of a log group, or `*` for query results, `audit` for the tenant's audit log, `audit *` for
    /// that of all tenants, `tenant`, or `account`. None for the location.
    pub(super) target: Option<&'static str>,
    pub(super) key: Option<&'static str>,
    pub(super) source: Option<&'static str>,
    /// The policy claims as path and value.
    pub(super) claims: &'static [(&'static str, &'static str)],
    /// The key's tags; none if they are unknown.
    pub(super) tags: Option<&'static [(&'static str, &'static str)]>,
    /// The previous key; none if it is unknown, empty if there was none.
    pub(super) previous: Option<&'static str>,
}

/// Sets a key on a log group of the tenant payments. Tests change one parameter.
pub(super) const ASSOCIATE: Case = Case {
    tenant: "payments",
    subject: "alice",
    scopes: "logkey:associate",
    action: Action::AssociateKmsKey,
    account: ACCOUNT,
    region: "eu-west-1",
    target: Some("/payments/api"),
    key: Some(KEY),
    source: Some("10.0.0.7"),
    claims: &[],
    tags: None,
    previous: None,
};
pub(super) const READ: Case = Case { action: Action::GetKeyAssociation, key: None, ..ASSOCIATE };

pub(super) struct Fixture {
    pub(super) policy: CedarPolicy,
    pub(super) clock: Arc<TestClock>,
    pub(super) tenants: Arc<Tenants>,
}

impl Fixture {
    pub(super) fn new(operators: &str) -> Self {
        let search = AccountGrant { log_groups: vec!["*".parse().unwrap()], ..grant("444455556666") };
        let mine = AccountGrant { query_results: true, ..grant("777788889999") };
        Self::with(
            vec![tenant("payments", vec![grant(ACCOUNT), mine]), tenant("search", vec![search])],
            operators,
        )
    }

    pub(super) fn with(tenants: Vec<Tenant>, operators: &str) -> Self {
        let tenants = Arc::new(Tenants::new(tenants).unwrap());
        let clock = Arc::new(TestClock(AtomicI64::new(MONDAY)));
        let files = [("operators.cedar".to_owned(), operators.to_owned())];
        let policy = CedarPolicy::load(Arc::clone(&tenants), &files, Arc::clone(&clock) as _)
            .unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"));
        Self { policy, clock, tenants }
    }

    pub(super) fn call(&self, call: &Case) -> Decision {
        self.with_request(call, Authorize::decide)
    }

    /// The policies that use tags, then those that use the previous key, as `TAGS / PREVIOUS`.
    pub(super) fn required_facts(&self, call: &Case) -> String {
        let RequiredFacts { key_tags, previous_key } = self.with_request(call, Authorize::required_facts);
        format!("{} / {}", key_tags.join(" "), previous_key.join(" "))
    }

    pub(super) fn with_request<T>(
        &self,
        case: &Case,
        to: impl FnOnce(&CedarPolicy, &AuthzRequest<'_>) -> T,
    ) -> T {
        let tenant = self.tenants.find(&case.tenant.parse().unwrap()).unwrap();
        let location =
            Location { account: case.account.parse().unwrap(), region: case.region.parse().unwrap() };
        let other = grant(case.account);
        let principal = Principal {
            tenant: tenant.id.clone(),
            subject: case.subject.into(),
            issuer: "https://idp.test".into(),
            scopes: case.scopes.split(' ').collect(),
            claims: case
                .claims
                .iter()
                .map(|(path, text)| ((*path).into(), [Box::from(*text)].into()))
                .collect::<PolicyClaims>(),
            token_id: "t".into(),
            expires: Timestamp::from_secs(MONDAY + 600),
            delegation: None,
        };
        let target = match case.target {
            Some("*") => Some(Target::QueryResults),
            None | Some("audit" | "audit *" | "tenant" | "account" | "own" | "other" | "all") => None,
            Some(name) => Some(Target::LogGroup(name.parse().unwrap())),
        };
        let key: Option<KmsKeyArn> = case.key.map(|key| key.parse().unwrap());
        let now = Instant::now();
        let call = Call {
            request_id: RequestId::new_v7(),
            action: case.action,
            source: case.source.map(|source| source.parse().unwrap()),
            unverified_user_agent: None,
            summary: CallSummary::default(),
            received: now,
            deadline: now,
        };
        let grant = tenant.grant(location.account).map_or(&other, |grant| grant);
        let facts = PolicyFacts {
            key_tags: case.tags.map(|tags| {
                tags.iter().map(|(tag, value)| ((*tag).into(), (*value).into())).collect::<KeyTags>()
            }),
            previous_key: match case.previous {
                None => PreviousKey::Unknown,
                Some("") => PreviousKey::Nothing,
                Some(key) => PreviousKey::Key(key.parse().unwrap()),
            },
        };
        let someone_else: TenantId = "someone-else".parse().unwrap();
        let question = AuthzRequest {
            call: &call,
            principal: &principal,
            tenant,
            action: case.action,
            about: match case.target {
                Some("audit") => ResourceScope::AuditLog(LogScope::Own),
                Some("audit *") => ResourceScope::AuditLog(LogScope::All),
                Some("tenant") => ResourceScope::Tenant,
                Some(owner @ ("own" | "other" | "all")) => ResourceScope::Fleet(FleetResource {
                    kind: case.action.fleet_kind().unwrap(),
                    owner: match owner {
                        "own" => Some(&tenant.id),
                        "other" => Some(&someone_else),
                        _ => None,
                    },
                    id: "",
                }),
                Some("account") => ResourceScope::Account(grant),
                Some(_) | None => ResourceScope::Aws { grant, location: &location, target: target.as_ref() },
            },
            key: key.as_ref(),
            facts: &facts,
        };
        to(&self.policy, &question)
    }

    /// The decision and the policies that made it, as a short text.
    pub(super) fn decide(&self, call: &Case) -> String {
        use Decision::{Allow, Deny};
        match self.call(call) {
            Allow { policies } => format!("allow {}", policies.join(" ")),
            Deny(Denial::NotPermitted) => "not permitted".into(),
            Deny(Denial::Forbidden { policies }) => format!("forbid {}", policies.join(" ")),
            Deny(Denial::Undecided { policies }) => format!("undecided {}", policies.join(" ")),
        }
    }
}
