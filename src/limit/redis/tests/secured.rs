//! Servers with passwords, users and TLS.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{
    server::{Server, backends, free_port, until},
    topologies::cluster,
    *,
};

/// A certificate of this machine, and the authority that signed it.
pub(super) struct Certificates {
    folder: tempfile::TempDir,
    ca: Vec<u8>,
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ca, issuer) = authority();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        // OpenSSL treats a certificate with its issuer's name as self-signed.
        params.distinguished_name.push(DnType::CommonName, "a server of limits");
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files = [("ca", &ca), ("cert", &certificate.pem()), ("key", &key.serialize_pem())];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder, ca: ca.into_bytes() }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The settings of a server that listens only with TLS.
    pub(super) fn settings(&self, port: u16) -> [(&'static str, String); 6] {
        [
            ("port", "0".to_owned()),
            ("tls-port", port.to_string()),
            ("tls-cert-file", self.file("cert")),
            ("tls-key-file", self.file("key")),
            ("tls-ca-cert-file", self.file("ca")),
            ("tls-auth-clients", "no".to_owned()),
        ]
    }

    /// The options of `redis-cli` to reach it.
    pub(super) fn cli_options(&self) -> Vec<String> {
        vec!["--tls".to_owned(), "--cacert".to_owned(), self.file("ca")]
    }
}

/// Asserts that none of these URLs leads to a usable server.
async fn assert_unavailable(urls: impl IntoIterator<Item = RedisUrl>) {
    for (nth, bad_url) in urls.into_iter().enumerate() {
        let backend = RedisBackend::start(&bad_url, OnBackendError::Refuse, TEST_TIMEOUT).unwrap();
        until(|| backend.attempts.load(SeqCst) >= 3).await;
        assert!(!backend.is_up() && !backend.state().up, "{nth}");
    }
}

/// Asserts that two replicas with this URL share one burst.
async fn assert_shared(url: &RedisUrl) {
    let backends = backends(url, 2, OnBackendError::Share).await;
    assert_one_burst(&quotas(&backends), &tenant(1, 30, 1_000), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_needs_its_authority_and_password() {
    let (certificates, port) = (Certificates::new(), free_port());
    let _server = Server::over_tls(port, &certificates, &["--requirepass", "s3cret"]);
    let url: RedisUrl = format!("rediss://127.0.0.1:{port}").parse().unwrap();
    let good = url.clone().with_ca(certificates.ca.clone()).with_password("s3cret".into());
    assert_shared(&good).await;

    let other = url.clone().with_ca(authority().0.into_bytes()).with_password("s3cret".into());
    let wrong = url.with_ca(certificates.ca.clone()).with_password("guess".into());
    let to_nobody: RedisUrl = format!("redis://127.0.0.1:{}", free_port()).parse().unwrap();
    for (bad_url, step) in [
        (other.clone(), "the certificate of the server was not accepted"),
        (to_nobody, "there was no connection to the server"),
    ] {
        let backend = RedisBackend::start(&bad_url, OnBackendError::Share, TEST_TIMEOUT).unwrap();
        until(|| backend.state().status.contains(step)).await;
    }
    assert_unavailable([other, wrong]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_with_tls_need_their_authority() {
    let (certificates, folder) = (Certificates::new(), tempfile::tempdir().unwrap());
    let server = Server::over_tls(free_port(), &certificates, &[]);
    until(|| server.cli(&["ping"]) == "PONG").await;
    let sentinel = Server::sentinel_over_tls(folder.path(), server.port, &certificates);
    until(|| sentinel.cli(&["sentinel", "ckquorum", "main"]).starts_with("OK")).await;
    let at = |scheme: &str| {
        format!("{scheme}+sentinel://127.0.0.1:{}/main", sentinel.port).parse::<RedisUrl>().unwrap()
    };
    assert_shared(&at("rediss").with_ca(certificates.ca.clone())).await;
    assert_unavailable([at("rediss").with_ca(authority().0.into_bytes()), at("rediss"), at("redis")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_tls_needs_its_authority() {
    let (certificates, folder) = (Certificates::new(), tempfile::tempdir().unwrap());
    let start = |more: &[&str]| {
        let more: Vec<_> = more.iter().copied().chain(["--tls-cluster", "yes"]).collect();
        Server::over_tls(free_port(), &certificates, &more)
    };
    let nodes = cluster(folder.path(), start).await;
    let at =
        |scheme: &str| format!("{scheme}+cluster://127.0.0.1:{}", nodes[0].port).parse::<RedisUrl>().unwrap();
    let backends = backends(&at("rediss").with_ca(certificates.ca.clone()), 2, OnBackendError::Share).await;
    let quotas = quotas(&backends);
    // Eight tenants, so that each of the three servers has keys.
    for nth in 0..8 {
        let id = format!("tenant-{nth}").parse().unwrap();
        assert_one_burst(&quotas, &Tenant { id, ..tenant(1, 30, 1_000) }, 60).await;
    }
    let counted = |node: &Server| !node.cli(&["keys", "logkey:{tenant-*"]).is_empty();
    assert!(nodes.iter().all(counted), "the other servers were reached as well");
    assert_unavailable([at("rediss").with_ca(authority().0.into_bytes()), at("rediss"), at("redis")]).await;
}

/// The permissions of the Redis user in `docs/limits.md`.
const RIGHTS: [&str; 7] =
    ["~logkey:*", "+@connection", "+@read", "+@write", "+@scripting", "+time", "-@dangerous"];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_limited_to_our_keys_suffices() {
    let user = ["--user", "default", "off", "--user", "logkey", "on", ">s3cret"];
    let server = Server::with(free_port(), &[&user[..], &RIGHTS].concat());
    let at =
        |userinfo: &str| format!("redis://{userinfo}127.0.0.1:{}", server.port).parse::<RedisUrl>().unwrap();
    let named = at("logkey@").with_password("s3cret".into());
    let backends = backends(&named, 2, OnBackendError::Share).await;
    let quotas = quotas(&backends);
    assert_one_burst(&quotas, &tenant(1, 30, 1_000), 60).await;
    // Slots are returned as well, and send slots reserved.
    let quota_key = QuotaKey {
        location: Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() },
        operation: crate::ports::limit::Operation::AssociateKmsKey,
    };
    let slot = backends[0].slot(&quota_key, Duration::from_millis(10), Duration::from_secs(1)).await;
    assert!(matches!(slot, SlotReply::In(_)), "{slot:?}");
    assert!(backends.iter().all(|backend| backend.is_up()));

    let unnamed = at("").with_password("s3cret".into());
    let wrong = at("logkey@").with_password("guess".into());
    assert_unavailable([at(""), at("logkey@"), unnamed, wrong]).await;
}
