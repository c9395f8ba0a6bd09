//! The front: what strangers can do to it, and what good callers notice of that.

mod calls;
mod connections;
mod floods;
mod wire;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use logkey::{
    limit::{Costs, LocalQuota},
    proto::{
        AssociateKmsKeyRequest, GetCallerRequest, associate_kms_key_request::Target,
        key_association_service_client::KeyAssociationServiceClient,
        tenant_service_client::TenantServiceClient,
    },
    server::{self, Parts, authn, quota, stack},
    service::{self, AuditPorts, AuditReads, KeyBroker, StreamLimits},
    testing::{
        FakeAudit, FakeAuthn, FakeAws, FakeClock, FakeLog, FakePace, FakePolicy, FakeTenants, KEY, principal,
        tenant,
    },
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_util::task::TaskTracker;
use tonic::{Request, transport::Channel};

const TOKEN: &str = "good";

/// A server that a test stands before.
struct Front {
    address: SocketAddr,
    aws: Arc<FakeAws>,
    audit: Arc<FakeAudit>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), server::ServeError>>,
}

fn config() -> server::Config {
    server::Config {
        request_timeout: Duration::from_secs(15),
        drain_timeout: Duration::from_secs(5),
        reflection: true,
        max_in_flight: 1_000,
        connections: server::doorway::Connections::default(),
        trusted_proxies: server::source::TrustedProxies::default(),
    }
}

async fn front(config: server::Config) -> Front {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (aws, audit, clock) = (Arc::new(FakeAws::default()), Arc::default(), Arc::new(FakeClock::default()));
    let audit: Arc<FakeAudit> = audit;
    let mut tenant = tenant("acme");
    let plenty = std::num::NonZeroU32::new(1_000_000).unwrap();
    (tenant.limits.per_second, tenant.limits.burst, tenant.limits.max_in_flight) = (plenty, plenty, plenty);
    let tenants = Arc::new(FakeTenants(vec![Arc::new(tenant)]));
    let quota = Arc::new(LocalQuota::new(Costs::default()));
    let broker = KeyBroker::new(service::Ports {
        tenants: tenants.clone(),
        policy: Arc::new(FakePolicy::default()),
        associations: aws.clone(),
        log_groups: aws.clone(),
        keys: aws.clone(),
        roles: aws.clone(),
        pace: Arc::new(FakePace::default()),
        quota: quota.clone(),
        audit: audit.clone(),
        history: audit.history.clone(),
        seen: audit.history.clone(),
        requests: audit.history.clone(),
        open: audit.clone(),
        clock: clock.clone(),
        tasks: TaskTracker::new(),
    });
    let who = principal("acme", &["logkey:read", "logkey:associate"]);
    let authn = Arc::new(FakeAuthn::accepting(TOKEN, who));
    let layers = stack::Ports {
        authn: authn::Ports { authn, audit: audit.clone(), clock: clock.clone() },
        quota: quota::Ports { tenants, quota, audit: audit.clone(), clock },
    };
    let (stop, stopped) = oneshot::channel();
    let log = AuditPorts { log: Arc::new(FakeLog), tree: Arc::new(FakeLog) };
    let reads = AuditReads::new(broker.clone(), log, StreamLimits::default());
    let parts = Parts { ports: layers, broker, audit: reads, tls: None };
    let served = tokio::spawn(server::run(listener, config, parts, async {
        drop(stopped.await);
    }));
    Front { address, aws, audit, stop, served }
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
