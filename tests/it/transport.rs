//! The edge under attack: what an unauthenticated client can do, and how it affects good callers.

mod calls;
mod connections;
mod floods;
mod keeping;
mod lifetime;
mod wire;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use logkey::{
    domain::tenant::Limits,
    limit::{Costs, LocalQuota},
    ports::quotas::QuotaDiscoveryDisabled,
    proto::{
        AssociateKmsKeyRequest, GetCallerRequest, associate_kms_key_request::Target,
        key_association_service_client::KeyAssociationServiceClient,
        tenant_service_client::TenantServiceClient,
    },
    server::{
        self, ClientAuth, LayerPorts, Services, Tls, TlsConfig,
        readiness::{Findings, Readiness},
    },
    service::{self, AuditPorts, AuditQueries, CoveragePorts, CoverageQueries, ServiceState, StreamLimits},
    testing::{
        FakeAudit, FakeAuthn, FakeAws, FakeClock, FakeLog, FakePolicy, FakeQueries, FakeRules, FakeTenants,
        FakeUpstreamLimiter, KEY, principal, tenant,
    },
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore},
};
use tokio_util::task::TaskTracker;
use tonic::{Request, transport::Channel};

use self::wire::{END_STREAM, Wire, call};

const TOKEN: &str = "good";

/// A server under test and its fakes.
struct Front {
    address: SocketAddr,
    rules: Arc<FakeRules>,
    aws: Arc<FakeAws>,
    audit: Arc<FakeAudit>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), server::ServeError>>,
    /// The connector to the server, if the server uses TLS.
    tls: Option<TlsConnector>,
}

fn config() -> server::Config {
    server::Config {
        allowed_origins: Vec::new(),
        request_timeout: Duration::from_secs(15),
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(5),
        reflection: true,
        max_in_flight: 1_000,
        connections: server::ConnectionLimits::default(),
        lifetime: server::ConnectionLifetime::default(),
        trusted_proxies: server::TrustedProxies::default(),
        documentation_url: None,
    }
}

/// Asserts that a call over a new connection is answered.
async fn good_calls_go_on(front: &Front) {
    let mut wire = Wire::over(front.address, front.tls.as_ref()).await;
    assert!(wire.write(&call(1)).await);
    let response = wire.until(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0).await;
    assert!(response.is_some(), "a good call is answered");
}

/// The same number of calls a second, as burst and in flight.
fn limits(calls: u32) -> Limits {
    let calls = NonZeroU32::new(calls).unwrap();
    Limits { per_second: calls, burst: calls, max_in_flight: calls }
}

async fn front(config: server::Config) -> Front {
    front_over(config, None, limits(1_000_000)).await
}

/// A server whose tenant has these limits.
async fn front_within(limits: Limits) -> Front {
    front_over(config(), None, limits).await
}

/// A server with TLS and a self-signed certificate.
async fn front_over_tls(config: server::Config) -> Front {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = Tls::load(TlsConfig {
        cert_file: file("cert.pem", &pair.cert.pem()),
        key_file: file("key.pem", &pair.signing_key.serialize_pem()),
        client_ca_file: None,
        client_auth: ClientAuth::None,
    });
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(client));
    front_over(config, Some((Arc::new(tls.unwrap()), connector)), limits(1_000_000)).await
}

async fn front_over(config: server::Config, tls: Option<(Arc<Tls>, TlsConnector)>, limits: Limits) -> Front {
    let (tls, connector) = tls.unzip();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (aws, audit, clock) = (Arc::new(FakeAws::default()), Arc::default(), Arc::new(FakeClock::default()));
    let audit: Arc<FakeAudit> = audit;
    let mut tenant = tenant("acme");
    tenant.limits = limits;
    let tenants = Arc::new(FakeTenants(vec![Arc::new(tenant)]));
    let quota = Arc::new(LocalQuota::new(Costs::default()));
    let principal = principal("acme", &["logkey:read", "logkey:associate"]);
    let authn = Arc::new(FakeAuthn::accepting(TOKEN, principal));
    let rules = Arc::new(FakeRules::with(authn, tenants, Arc::new(FakePolicy::default())));
    let state = ServiceState::new(service::Dependencies {
        rules: rules.clone(),
        associations: aws.clone(),
        log_groups: aws.clone(),
        keys: aws.clone(),
        queries: Arc::new(FakeQueries::default()),
        roles: aws.clone(),
        quotas: Arc::new(QuotaDiscoveryDisabled),
        limiter: Arc::new(FakeUpstreamLimiter::default()),
        quota: quota.clone(),
        audit: audit.clone(),
        history: audit.history.clone(),
        observations: audit.history.clone(),
        requests: audit.history.clone(),
        open: audit.clone(),
        page_tokens: Arc::new(service::PageTokens::new(&[[1; 32]])),
        clock: clock.clone(),
        tasks: TaskTracker::new(),
    });
    let layers = LayerPorts { rules: rules.clone(), quota, audit: audit.clone(), clock };
    let (stop, stopped) = oneshot::channel();
    let log =
        AuditPorts { log: Arc::new(FakeLog::default()), tree: Arc::new(FakeLog::default()), archive: None };
    let reads = AuditQueries::new(log, StreamLimits::default());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
    let store = logkey::store::open(&logkey::store::Config { url }).await.unwrap();
    let texts = Arc::new(server::StatusTexts);
    let fleet_ports = service::FleetPorts {
        jobs: store.jobs,
        queue: store.queue,
        rules: Arc::clone(&store.rules),
        rule_schedule: store.rule_schedule,
        repairs: store.repairs,
        coverage: Arc::clone(&store.coverage),
        texts,
    };
    let fleet = service::Fleet::new(fleet_ports, logkey::domain::fleet::FleetSettings::default());
    let coverage = CoverageQueries::new(CoveragePorts { store: store.coverage, rules: store.rules });
    let readiness = Readiness::starting();
    readiness.begin_serving(Findings::default);
    let parts =
        Services { ports: layers, state, audit: reads, fleet, coverage, tls, tenant_label: false, readiness };
    let served = tokio::spawn(server::run(listener, config, parts, async {
        drop(stopped.await);
    }));
    Front { address, rules, aws, audit, stop, served, tls: connector }
}

impl Front {
    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    async fn caller(&self) -> TenantServiceClient<Channel> {
        TenantServiceClient::new(self.channel().await)
    }

    async fn associator(&self) -> KeyAssociationServiceClient<Channel> {
        KeyAssociationServiceClient::new(self.channel().await)
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn get_caller(token: &str) -> Request<GetCallerRequest> {
    with_token(token, GetCallerRequest::default())
}

fn associate() -> Request<AssociateKmsKeyRequest> {
    with_token(
        TOKEN,
        AssociateKmsKeyRequest {
            target: Some(Target::LogGroupName("/app/web".into())),
            kms_key_id: KEY.into(),
            ..AssociateKmsKeyRequest::default()
        },
    )
}
