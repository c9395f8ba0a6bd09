//! Connections to other services through a proxy, and with a private certificate authority: key sets, discovery,
//! AWS and the collector of traces by the same rules.

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc};

use axum::{Router, routing::get};
use logkey::sandbox::{Running, Sandbox};
use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    bound_tokens::Authority,
    harness::{AccountText, Caller, GROUP, PAYMENTS, REGION, SettingsText, key, reason},
    process::Process,
    tokens::forge::Forge,
};

/// Names that no server resolves; only the proxy knows them.
const IDP: &str = "idp.outgoing.test";
const AWS: &str = "aws.outgoing.test";
const COLLECTOR: &str = "collector.outgoing.test";
/// An issuer whose settings name the address of its keys.
const NAMED: &str = "https://named.test";
/// An issuer whose keys are in a file.
const LOCAL: &str = "https://local.test";

/// A proxy that ends the TLS of each tunnel and forwards it to the server of the name.
struct Proxy {
    address: SocketAddr,
    tunnels: Arc<Mutex<Vec<String>>>,
}

type Servers = Arc<HashMap<String, (TlsAcceptor, SocketAddr)>>;

impl Proxy {
    async fn start(authority: &Authority, servers: &[(&str, SocketAddr)]) -> Self {
        let servers: Servers = Arc::new(
            servers.iter().map(|(name, to)| ((*name).to_owned(), (acceptor(authority, name), *to))).collect(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tunnels = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&tunnels);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, Arc::clone(&servers), Arc::clone(&log)));
            }
        });
        Self { address, tunnels }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.tunnels.lock().clone();
        names.sort_unstable();
        names.dedup();
        names
    }
}

async fn tunnel(mut stream: TcpStream, servers: Servers, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let name = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(':').next()).unwrap_or_default();
    log.lock().push(name.to_owned());
    let Some((acceptor, to)) = servers.get(name) else {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut server = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut server).await;
}

fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    let certificate = authority.client(name);
    let (cert, key) = certificate.pair();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    // gRPC needs HTTP/2. The other servers have HTTP/1.1 only.
    config.alpn_protocols.extend((name == COLLECTOR).then(|| b"h2".to_vec()));
    TlsAcceptor::from(Arc::new(config))
}

/// A server that gives the first bytes of each connection, and never answers.
async fn first_bytes() -> (SocketAddr, mpsc::UnboundedReceiver<[u8; 5]>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 5];
            if stream.read_exact(&mut bytes).await.is_ok() {
                let _ = sender.send(bytes);
            }
            streams.push(stream);
        }
    });
    (address, receiver)
}

/// An issuer's key set at `/keys`, an AWS and a collector, behind a proxy.
struct World {
    forge: Forge,
    sandbox: Running,
    authority: Authority,
    collector: mpsc::UnboundedReceiver<[u8; 5]>,
    proxy: Proxy,
}

impl World {
    async fn start() -> Self {
        let forge = Forge::new();
        let keys = forge.jwks().to_string();
        let discovery =
            json!({ "issuer": format!("https://{IDP}"), "jwks_uri": format!("https://{IDP}/keys") });
        let discovery = discovery.to_string();
        let routes = Router::new()
            .route("/keys", get(async move || keys))
            .route("/.well-known/openid-configuration", get(async move || discovery));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, routes).await });
        let sandbox = Sandbox::builder().without_quotas().account(PAYMENTS, |account| {
            account
                .role("LogKeyAssociator", "payments-external-id")
                .key(REGION, "good", "allow-both")
                .log_group(REGION, GROUP)
        });
        let sandbox = sandbox.build().unwrap().start().await.unwrap();
        let aws = sandbox.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
        let authority = Authority::new();
        let (address, collector) = first_bytes().await;
        let proxy = Proxy::start(&authority, &[(IDP, idp), (AWS, aws), (COLLECTOR, address)]).await;
        Self { forge, sandbox, authority, collector, proxy }
    }

    /// A service whose environment has these variables; `CA` stands for the file of the authority.
    async fn serve(&self, environment: &[(&str, &str)]) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, self.authority.pem()).unwrap();
        let keys = folder.path().join("local.json");
        std::fs::write(&keys, self.forge.jwks().to_string()).unwrap();
        let discovered = format!("https://{IDP}");
        let account = AccountText {
            tenant: "payments",
            account: PAYMENTS,
            region: REGION,
            kms_keys: &format!("arn:aws:kms:*:{PAYMENTS}:key/*"),
        };
        let issuer =
            |issuer: &str, keys: &str| format!("issuer = \"{issuer}\"\naudiences = [\"logkey\"]\n{keys}");
        let settings = SettingsText::default()
            .element("auth.issuers", &issuer(&discovered, ""))
            .element("auth.issuers", &issuer(NAMED, &format!("jwks_uri = \"https://{IDP}/keys\"\n")))
            .issuer(LOCAL, &keys)
            .aws(&format!("https://{AWS}"))
            .element(
                "tenants",
                &format!("id = \"payments\"\nissuers = [\"{discovered}\", \"{NAMED}\", \"{LOCAL}\"]\n"),
            )
            .account(&account, "")
            .to_string();
        let always = [("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB"), ("AWS_SECRET_ACCESS_KEY", "not-a-secret")];
        let variables: Vec<(&str, &Path)> = always
            .iter()
            .chain(environment)
            .map(|(name, value)| (*name, if *value == "CA" { ca.as_path() } else { Path::new(*value) }))
            .collect();
        Process::serve_with(folder, "", &settings, &variables).await
    }

    fn caller(&self, process: &Process, issuer: &str) -> Caller {
        let scope = "logkey:read logkey:associate";
        let claims = json!({ "iss": issuer, "tenant": "payments", "scope": scope });
        Caller::new(process.channel(), &self.forge.token_with_claims(claims))
    }
}

#[tokio::test]
async fn every_connection_uses_the_proxy_and_the_authorities() {
    let mut world = World::start().await;
    let proxy = world.proxy.url();
    let endpoint = format!("https://{COLLECTOR}");
    for (variable, protocol) in [
        ("AWS_CA_BUNDLE", "grpc"),
        ("AWS_CA_BUNDLE", "http"),
        ("SSL_CERT_FILE", "grpc"),
        ("SSL_CERT_FILE", "http"),
    ] {
        // Of the process before.
        while world.collector.try_recv().is_ok() {}
        world.proxy.tunnels.lock().clear();
        let environment = [
            ("HTTPS_PROXY", &*proxy),
            (variable, "CA"),
            ("LOGKEY__TELEMETRY__OTLP__ENDPOINT", &endpoint),
            ("LOGKEY__TELEMETRY__OTLP__PROTOCOL", protocol),
            ("LOGKEY__TELEMETRY__OTLP__SAMPLE_RATIO", "1.0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ];
        let process = world.serve(&environment).await;
        for issuer in [&*format!("https://{IDP}"), NAMED] {
            world
                .caller(&process, issuer)
                .who_am_i()
                .await
                .unwrap_or_else(|error| panic!("{variable} {issuer}: {error}"));
        }
        let caller = world.caller(&process, NAMED);
        caller.associate(GROUP, &key("good")).await.unwrap_or_else(|error| panic!("{variable}: {error}"));
        let preface = world.collector.recv().await.unwrap();
        assert_eq!(&preface, b"PRI *", "{protocol}");
        assert_eq!(world.proxy.names(), [AWS, COLLECTOR, IDP], "{variable} {protocol}");
    }
    assert!(world.sandbox.sandbox().journal().iter().any(|entry| entry.operation == "AssociateKmsKey"));
}

/// The line of `/readyz` about an issuer, and the error of a change.
async fn failures(world: &World, environment: &[(&str, &str)]) -> (String, String) {
    let process = world.serve(environment).await;
    let refused = world.caller(&process, NAMED).who_am_i().await.unwrap_err();
    assert_eq!(reason(&refused), "IDENTITY_PROVIDER_UNAVAILABLE");
    let ready = reqwest::get(format!("http://{}/readyz", process.admin)).await.unwrap().text().await.unwrap();
    let line = ready.lines().find(|line| line.contains("named.test")).unwrap_or_default().to_owned();
    let own = world.caller(&process, LOCAL);
    let failed = own.associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&failed), "AWS_UNAVAILABLE", "{failed:?}");
    (line, failed.message().to_owned())
}

#[tokio::test]
async fn an_error_says_at_which_step_the_connection_failed() {
    let world = World::start().await;
    let proxy = world.proxy.url();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    for (environment, expected) in [
        (vec![], "name of the server could not be resolved"),
        (
            vec![("HTTPS_PROXY", &*proxy), ("NO_PROXY", "outgoing.test")],
            "name of the server could not be resolved",
        ),
        (vec![("HTTPS_PROXY", &*proxy)], "certificate of the server was not accepted"),
        (vec![("HTTPS_PROXY", &*closed)], "no connection to the server"),
    ] {
        let (issuer, aws) = failures(&world, &environment).await;
        assert!(issuer.contains(expected), "{environment:?}: {issuer}");
        assert!(aws.contains(expected), "{environment:?}: {aws}");
    }
}
