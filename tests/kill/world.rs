//! What stays while the service comes and goes: an AWS with its journal, an issuer, settings, ports.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use logkey::sandbox::{
    Running, Sandbox,
    call_log::Entry,
    clock::Clock,
    fault::{Effect, Fault, When},
    seed::LogGroupSeed,
};
use tempfile::TempDir;

use crate::issuer::{ISSUER, TestIssuer};

/// Tenant and account.
pub(crate) const ACCOUNTS: [(&str, &str); 4] = [
    ("payments", "111122223333"),
    ("payments", "222233334444"),
    ("orders", "444455556666"),
    ("orders", "555566667777"),
];
pub(crate) const REGION: &str = "eu-west-1";
/// Log groups of an account that many callers change, again and again.
pub(crate) const HOT: usize = 3;
/// Keys of an account.
pub(crate) const KEYS: usize = 4;
/// Log groups of an account that are changed once.
const COLD: usize = 20_000;
const SCOPES: &str = "logkey:read logkey:associate logkey:disassociate logkey:query-results";

/// Everything but the service.
pub(crate) struct TestEnv {
    pub(crate) aws: Running,
    pub(crate) issuer: TestIssuer,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// How often the service was started.
    pub(crate) lives: Arc<AtomicU64>,
    /// Of the store, where that is a server.
    server: Option<String>,
    folder: TempDir,
    cold: [AtomicUsize; ACCOUNTS.len()],
}

// === impl World ===

impl TestEnv {
    /// An AWS in which calls take a while, and now and then go wrong.
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The same, with more settings of the service.
    pub(crate) async fn with(settings: &str) -> Self {
        Self::over(None, settings).await
    }

    /// The same, over a server's store.
    pub(crate) async fn over(server: Option<String>, settings: &str) -> Self {
        let mut aws = Sandbox::builder()
            .without_quotas()
            .journal(2_000_000)
            .clock(Clock::from_fn(jiff::Timestamp::now));
        for (tenant, account) in ACCOUNTS {
            aws = aws.account(account, |mut seed| {
                for key in 0..KEYS {
                    seed = seed.key(REGION, &format!("key-{key}"), "allow-both");
                }
                for (name, count) in [("hot", HOT), ("cold", COLD)] {
                    seed = seed.log_group_with(LogGroupSeed {
                        name: format!("/{tenant}/{name}-{{n}}"),
                        region: REGION.to_owned(),
                        count: u32::try_from(count).ok(),
                        ..LogGroupSeed::default()
                    });
                }
                seed.role("LogKeyAssociator", &format!("{tenant}-external-id"))
            });
        }
        let aws = aws.build().unwrap().start().await.unwrap();
        let [grpc, admin] = free();
        let env = Self {
            aws,
            issuer: TestIssuer::new("key-1"),
            grpc,
            admin,
            lives: Arc::default(),
            server,
            folder: tempfile::tempdir().unwrap(),
            cold: Default::default(),
        };
        std::fs::create_dir(env.store()).unwrap();
        std::fs::write(env.path("jwks.json"), env.issuer.jwks()).unwrap();
        std::fs::write(env.config(), env.settings(settings)).unwrap();
        env
    }

    /// Calls take some milliseconds before and after they take effect, some answers never come, and
    /// some calls meet a conflict.
    pub(crate) fn troubled(self) -> Self {
        let aws = self.aws.sandbox();
        let conflict = Effect::Error {
            code: "OperationAbortedException".into(),
            message: Some("A conflicting operation is currently in progress".into()),
            status: None,
        };
        for operation in ["AssociateKmsKey", "DisassociateKmsKey"] {
            let wait = || Fault::on(operation, Effect::Latency { ms: 1, jitter_ms: 15 });
            aws.fault(wait());
            aws.fault(wait().after());
            for (effect, when) in [(Effect::Reset, When::After), (conflict.clone(), When::Before)] {
                aws.fault(Fault { percent: Some(2), when, ..Fault::on(operation, effect) });
            }
        }
        self
    }

    fn settings(&self, more: &str) -> String {
        let mut toml = format!(
            "{more}\n[server]\nlisten = \"{}\"\nadmin_listen = \"{}\"\nrequest_timeout = \"3s\"\ndrain_timeout = \"10s\"\n[store]\nurl = \"{}\"\n[[auth.issuers]]\nissuer = \"{ISSUER}\"\naudiences = [\"logkey\"]\njwks_file = \"{}\"\n[aws]\nendpoint_url = \"{}\"\n[limits.upstream]\nassociate_per_second = 1000\ndisassociate_per_second = 1000\ndescribe_per_second = 1000\n",
            self.grpc,
            self.admin,
            self.url(),
            self.path("jwks.json").display(),
            self.aws.endpoint(),
        );
        for tenant in ["payments", "orders"] {
            write!(
                toml,
                "[[tenants]]\nid = \"{tenant}\"\nissuers = [\"{ISSUER}\"]\nlimits = {{ per_second = 100000, burst = 100000, max_in_flight = 1000 }}\n"
            )
            .unwrap();
            for (_, account) in ACCOUNTS.iter().filter(|(of, _)| *of == tenant) {
                write!(
                    toml,
                    "[[tenants.accounts]]\naccount_id = \"{account}\"\nrole_arn = \"arn:aws:iam::{account}:role/LogKeyAssociator\"\nexternal_id = \"{tenant}-external-id\"\nregions = [\"{REGION}\"]\nlog_groups = [\"/{tenant}/*\"]\nkms_keys = [\"*\"]\nquery_results = true\n"
                )
                .unwrap();
            }
        }
        toml
    }

    pub(crate) fn token(&self, tenant: &str) -> String {
        self.issuer.token_with(tenant, SCOPES, &[("exp", (jiff::Timestamp::now().as_second() + 7200).into())])
    }

    /// The number of a log group of the account that was not touched before.
    pub(crate) fn cold(&self, account: usize) -> usize {
        let next = self.cold.get(account).unwrap().fetch_add(1, Ordering::Relaxed);
        assert!(next < COLD, "more log groups are needed for so many rounds");
        next
    }

    /// A file of this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("logkey.toml")
    }

    /// The folder that holds the store, and in the end its archive.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Where events are moved out to: on the same disk.
    pub(crate) fn archive(&self) -> PathBuf {
        self.store().join("archive")
    }

    pub(crate) fn url(&self) -> String {
        let file = || format!("sqlite://{}/logkey.db", self.store().display());
        self.server.clone().unwrap_or_else(file)
    }

    pub(crate) fn is_over_a_server(&self) -> bool {
        self.server.is_some()
    }

    /// Every call that was to change something, in order.
    pub(crate) fn changes(&self) -> Vec<Entry> {
        let all = self.aws.sandbox().journal().into_iter();
        all.filter(|call| call.operation == "AssociateKmsKey" || call.operation == "DisassociateKmsKey")
            .collect()
    }
}

/// Addresses that were free a moment ago, each another one.
pub(crate) fn free<const N: usize>() -> [SocketAddr; N] {
    // All are taken before one is given back.
    let taken: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap())
}
