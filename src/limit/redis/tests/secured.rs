//! Servers that want to know who asks, and ways to them that nobody else reads.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{
    server::{Server, free_port, links, until},
    topologies::cluster,
    *,
};

/// A certificate of this machine, and the authority that signed it.
pub(super) struct Papers {
    folder: tempfile::TempDir,
    ca: Vec<u8>,
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
}

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ca, issuer) = authority();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        // OpenSSL takes one of its issuer's name for one that nobody signed.
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

    /// What a server is told that listens over TLS alone.
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

    /// How an operator reaches it.
    pub(super) fn way(&self) -> Vec<String> {
        vec!["--tls".to_owned(), "--cacert".to_owned(), self.file("ca")]
    }
}

/// None of these gets an answer.
async fn are_refused(urls: impl IntoIterator<Item = RedisUrl>) {
    for (nth, bad_url) in urls.into_iter().enumerate() {
        let link = RedisBackend::start(&bad_url, OnBackendError::Refuse, LONG).unwrap();
        until(|| link.attempts.load(SeqCst) >= 3).await;
        assert!(!link.is_up() && !link.state().serves, "{nth}");
    }
}

/// All of them give one burst together.
async fn is_shared(url: &RedisUrl) {
    let links = links(url, 2, OnBackendError::Share).await;
    give_one_burst(&quotas(&links), &tenant(1, 30, 1_000), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_and_a_password_is_reached_with_its_authority_alone() {
    let (papers, port) = (Papers::new(), free_port());
    let _server = Server::over_tls(port, &papers, &["--requirepass", "s3cret"]);
    let url: RedisUrl = format!("rediss://127.0.0.1:{port}").parse().unwrap();
    let good = url.clone().with_ca(papers.ca.clone()).with_password("s3cret".into());
    is_shared(&good).await;

    let other = url.clone().with_ca(authority().0.into_bytes()).with_password("s3cret".into());
    let wrong = url.with_ca(papers.ca.clone()).with_password("guess".into());
    are_refused([other, wrong]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_their_server_are_reached_over_tls_with_their_authority_alone() {
    let (papers, folder) = (Papers::new(), tempfile::tempdir().unwrap());
    let server = Server::over_tls(free_port(), &papers, &[]);
    until(|| server.cli(&["ping"]) == "PONG").await;
    let sentinel = Server::sentinel_over_tls(folder.path(), server.port, &papers);
    until(|| sentinel.cli(&["sentinel", "ckquorum", "main"]).starts_with("OK")).await;
    let at = |scheme: &str| {
        format!("{scheme}+sentinel://127.0.0.1:{}/main", sentinel.port).parse::<RedisUrl>().unwrap()
    };
    is_shared(&at("rediss").with_ca(papers.ca.clone())).await;
    are_refused([at("rediss").with_ca(authority().0.into_bytes()), at("rediss"), at("redis")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_reached_over_tls_with_its_authority_alone() {
    let (papers, folder) = (Papers::new(), tempfile::tempdir().unwrap());
    let start = |more: &[&str]| {
        let more: Vec<_> = more.iter().copied().chain(["--tls-cluster", "yes"]).collect();
        Server::over_tls(free_port(), &papers, &more)
    };
    let nodes = cluster(folder.path(), start).await;
    let at =
        |scheme: &str| format!("{scheme}+cluster://127.0.0.1:{}", nodes[0].port).parse::<RedisUrl>().unwrap();
    let links = links(&at("rediss").with_ca(papers.ca.clone()), 2, OnBackendError::Share).await;
    let quotas = quotas(&links);
    // Of tenants whose keys are at each of the three.
    for nth in 0..8 {
        let id = format!("tenant-{nth}").parse().unwrap();
        give_one_burst(&quotas, &Tenant { id, ..tenant(1, 30, 1_000) }, 60).await;
    }
    let counted = |node: &Server| !node.cli(&["keys", "logkey:{tenant-*"]).is_empty();
    assert!(nodes.iter().all(counted), "the others were reached as well");
    are_refused([at("rediss").with_ca(authority().0.into_bytes()), at("rediss"), at("redis")]).await;
}

/// What `docs/limits.md` says that such a user needs.
const RIGHTS: [&str; 7] =
    ["~logkey:*", "+@connection", "+@read", "+@write", "+@scripting", "+time", "-@dangerous"];

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_touch_our_keys_alone_is_enough_and_another_password_is_not() {
    let user = ["--user", "default", "off", "--user", "logkey", "on", ">s3cret"];
    let server = Server::with(free_port(), &[&user[..], &RIGHTS].concat());
    let at = |principal: &str| {
        format!("redis://{principal}127.0.0.1:{}", server.port).parse::<RedisUrl>().unwrap()
    };
    let named = at("logkey@").with_password("s3cret".into());
    let links = links(&named, 2, OnBackendError::Share).await;
    let quotas = quotas(&links);
    give_one_burst(&quotas, &tenant(1, 30, 1_000), 60).await;
    // Places are given back as well, and turns toward AWS given.
    let quota_key = QuotaKey {
        location: Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() },
        operation: crate::ports::limit::Operation::AssociateKmsKey,
    };
    let slot = links[0].slot(&quota_key, Duration::from_millis(10), Duration::from_secs(1)).await;
    assert!(matches!(slot, SlotReply::In(_)), "{slot:?}");
    assert!(links.iter().all(|link| link.is_up()));

    let unnamed = at("").with_password("s3cret".into());
    let wrong = at("logkey@").with_password("guess".into());
    are_refused([at(""), at("logkey@"), unnamed, wrong]).await;
}
