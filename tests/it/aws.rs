//! The AWS adapter against the embedded AWS: roles, sessions, reads, changes and errors.

mod answers;
mod limited;
mod reads;
mod sessions;

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use logkey::{
    aws::{Aws, Config, Endpoints, ServiceCredentials, SessionTagging, Timeouts},
    domain::{
        arn::KmsKeyArn,
        association::{AssociateKmsKey, DisassociateKmsKey, ListKeyAssociations, Location, Resource, Target},
        authorization::{Authorized, AuthzRequest, Command, Decision, Requester},
        call::{Action, Call, RequestId},
        principal::{PolicyClaims, Principal, Scopes},
        tenant::{AccountGrant, Limits, Tenant},
        time::Timestamp,
    },
    ports::{
        Clock,
        aws::{Acknowledgement, AwsResponse, KeyAssociations, UpstreamError},
    },
    sandbox::{Running, Sandbox, builder::Builder, call_log, seed::AccountSeed},
};

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const REGION: &str = "eu-west-1";
const EXTERNAL_ID: &str = "the-external-id";
const GROUP: &str = "/payments/api";

/// The wall clock, which the embedded AWS also follows.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }
}

/// An embedded AWS and an adapter that calls it.
struct TestEnv {
    running: Running,
    aws: Aws,
    tenant: Arc<Tenant>,
    subject: &'static str,
}

fn one_account() -> Builder {
    Sandbox::builder().without_quotas().account(ACCOUNT, populate)
}

fn populate(account: AccountSeed) -> AccountSeed {
    account
        .role("Associator", EXTERNAL_ID)
        .key(REGION, "good", "allow-both")
        .key(REGION, "closed", "lacks-logs")
        .log_group(REGION, GROUP)
        .log_group(REGION, "/payments/api#2")
}

fn tenant(id: &str, external_id: &str) -> Arc<Tenant> {
    let limit = NonZeroU32::MIN;
    let grant = AccountGrant {
        account: ACCOUNT.parse().unwrap(),
        role: format!("arn:aws:iam::{ACCOUNT}:role/Associator").parse().unwrap(),
        external_id: external_id.parse().unwrap(),
        regions: [REGION.parse().unwrap()].into(),
        log_groups: vec!["*".parse().unwrap()],
        kms_keys: vec!["*".parse().unwrap()],
        query_results: true,
        verify_query_results: false,
    };
    Arc::new(Tenant {
        id: id.parse().unwrap(),
        issuers: Vec::new(),
        claim_values: Vec::new(),
        suspended: false,
        limits: Limits { per_second: limit, burst: limit, max_in_flight: limit },
        accounts: vec![Arc::new(grant)],
        rules: Vec::new(),
    })
}

fn config(endpoint: &str) -> Config {
    Config {
        region: "us-east-1".parse().unwrap(),
        endpoints: Endpoints::from_endpoints(endpoint),
        session_duration: Duration::from_hours(1),
        attribution: SessionTagging::Tenant,
        timeouts: Timeouts::default(),
        authorities: None,
        service_principal: Some(ServiceCredentials {
            access_key_id: "AKIASANDBOXHUB".into(),
            secret_access_key: "secret".into(),
        }),
    }
}

impl TestEnv {
    async fn new() -> Self {
        Self::of(one_account(), |config| config).await
    }

    async fn of(sandbox: Builder, adjust: impl FnOnce(Config) -> Config) -> Self {
        let running = sandbox.build().unwrap().start().await.unwrap();
        let aws = Aws::connect(adjust(config(&running.endpoint())), Arc::new(WallClock)).await;
        Self { running, aws, tenant: tenant("payments", EXTERNAL_ID), subject: "alice" }
    }

    fn authorized<C: Command>(&self, command: C) -> Authorized<C> {
        let now = Instant::now();
        let call = Call {
            request_id: RequestId::new_v7(),
            action: Action::Unknown,
            source: None,
            unverified_user_agent: None,
            summary: logkey::domain::call::CallSummary::default(),
            received: now,
            deadline: now,
        };
        let principal = Principal {
            tenant: self.tenant.id.clone(),
            subject: self.subject.into(),
            issuer: "https://idp.example.com".into(),
            scopes: Scopes::default(),
            claims: PolicyClaims::default(),
            token_id: "t".into(),
            expires: Timestamp::from_secs(0),
            delegation: None,
        };
        let allow = |_: &AuthzRequest<'_>| Decision::Allow { policies: Vec::new() };
        Authorized::decide(allow, Requester { call: &call, principal: &principal }, &self.tenant, command)
            .unwrap()
    }

    fn list(&self) -> Authorized<ListKeyAssociations> {
        self.authorized(ListKeyAssociations { location: location() })
    }

    async fn associate(&self, target: Target, key: &str) -> AwsResponse<Acknowledgement> {
        let key = key_arn(key);
        let command = self.authorized(AssociateKmsKey {
            resource: Resource { location: location(), target },
            requested_key: logkey::domain::arn::KmsKeyId::Arn(key.clone()),
            key,
            reason: None,
        });
        self.aws.associate(&command, soon()).await
    }

    async fn disassociate(&self, target: Target) -> AwsResponse<Acknowledgement> {
        let resource = Resource { location: location(), target };
        self.aws.disassociate(&self.authorized(DisassociateKmsKey { resource, reason: None }), soon()).await
    }

    /// The calls of this operation that reached AWS.
    fn calls(&self, operation: &str) -> Vec<call_log::Entry> {
        let all = self.running.sandbox().journal().into_iter();
        all.filter(|entry| entry.operation == operation).collect()
    }
}

fn location() -> Location {
    Location { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() }
}

fn group(name: &str) -> Target {
    Target::LogGroup(name.parse().unwrap())
}

fn key_arn(id: &str) -> KmsKeyArn {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}").parse().unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn failure<T: std::fmt::Debug>(response: AwsResponse<T>) -> UpstreamError {
    response.result.unwrap_err()
}
