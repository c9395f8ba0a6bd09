//! The environment that outlives the service processes: an embedded AWS, an issuer, settings and ports.

use std::{
    net::SocketAddr,
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
    seed::{KeySeed, LogGroupSeed},
};
use tempfile::TempDir;

use crate::{
    addresses::free_addresses,
    issuer::{ISSUER, TestIssuer},
    settings::{AccountText, SettingsText},
};

/// Tenant and account.
pub(crate) const ACCOUNTS: [(&str, &str); 4] = [
    ("payments", "111122223333"),
    ("payments", "222233334444"),
    ("orders", "444455556666"),
    ("orders", "555566667777"),
];
pub(crate) const REGION: &str = "eu-west-1";
/// The number of log groups of an account that many callers change repeatedly.
pub(crate) const HOT: usize = 3;
/// The number of keys of an account.
pub(crate) const KEYS: usize = 4;
/// A key that AWS refuses. The service replays the refusal for the same request.
pub(crate) const DISABLED_KEY: &str = "key-99";
/// The number of log groups of an account that are changed once.
const COLD: usize = 20_000;
const SCOPES: &str = "logkey:read logkey:associate logkey:disassociate logkey:query-results logkey:bulk";
/// The tenant of bulk jobs, and its accounts.
pub(crate) const FLEET: &str = "fleet";
pub(crate) const FLEET_ACCOUNTS: [&str; 6] =
    ["600000000001", "600000000002", "600000000003", "600000000004", "600000000005", "600000000006"];
/// The number of jobs whose log groups exist, and of the log groups of a job in each account.
pub(crate) const JOBS: usize = 200;
pub(crate) const JOB_GROUPS: usize = 40;

/// The prefix of the log groups of a job. They are changed once, by that job.
pub(crate) fn job_prefix(job: usize) -> String {
    format!("/{FLEET}/cold-{job}-")
}

/// Everything except the service.
pub(crate) struct TestEnv {
    pub(crate) aws: Running,
    pub(crate) issuer: TestIssuer,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The number of starts of the service.
    pub(crate) starts: Arc<AtomicU64>,
    /// The URL of the PostgreSQL store, if there is one.
    server: Option<String>,
    folder: TempDir,
    cold: [AtomicUsize; ACCOUNTS.len()],
}

// === impl TestEnv ===

impl TestEnv {
    /// An environment with default settings and a SQLite store.
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// An environment with additional settings of the service.
    pub(crate) async fn with(settings: &str) -> Self {
        Self::over(None, settings).await
    }

    /// An environment with a PostgreSQL store, if `server` is its URL.
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
                seed = seed.key_with(KeySeed {
                    id: DISABLED_KEY.to_owned(),
                    region: REGION.to_owned(),
                    state: Some("Disabled".to_owned()),
                    ..KeySeed::default()
                });
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
        for account in FLEET_ACCOUNTS {
            aws = aws.account(account, |mut seed| {
                for key in 0..KEYS {
                    seed = seed.key(REGION, &format!("key-{key}"), "allow-both");
                }
                for job in 0..JOBS {
                    seed = seed.log_group_with(LogGroupSeed {
                        name: format!("{}{{n}}", job_prefix(job)),
                        region: REGION.to_owned(),
                        count: u32::try_from(JOB_GROUPS).ok(),
                        ..LogGroupSeed::default()
                    });
                }
                seed.role("LogKeyAssociator", &format!("{FLEET}-external-id"))
            });
        }
        let aws = aws.build().unwrap().start().await.unwrap();
        let [grpc, admin] = free_addresses().unwrap();
        let env = Self {
            aws,
            issuer: TestIssuer::new("key-1"),
            grpc,
            admin,
            starts: Arc::default(),
            server,
            folder: tempfile::tempdir().unwrap(),
            cold: Default::default(),
        };
        std::fs::create_dir(env.store()).unwrap();
        std::fs::write(env.path("jwks.json"), env.issuer.jwks()).unwrap();
        std::fs::write(env.config(), env.settings(settings)).unwrap();
        env
    }

    /// Adds faults to AWS: calls take some milliseconds before and after their effect, some responses are
    /// lost, and some calls fail with a conflict.
    pub(crate) fn with_faults(self) -> Self {
        let aws = self.aws.sandbox();
        let conflict = Effect::Error {
            code: "OperationAbortedException".into(),
            message: Some("A conflicting operation is currently in progress".into()),
            status: None,
        };
        for operation in ["AssociateKmsKey", "DisassociateKmsKey"] {
            let delay = || Fault::on(operation, Effect::Latency { ms: 1, jitter_ms: 15 });
            aws.fault(delay());
            aws.fault(delay().after());
            for (effect, when) in [(Effect::Reset, When::After), (conflict.clone(), When::Before)] {
                aws.fault(Fault { percent: Some(2), when, ..Fault::on(operation, effect) });
            }
        }
        self
    }

    fn settings(&self, more: &str) -> String {
        let limits = "limits = { per_second = 100000, burst = 100000, max_in_flight = 1000 }\n";
        let mut settings = SettingsText::default()
            .listen(self.grpc, self.admin)
            .table("server", "request_timeout = \"3s\"\ndrain_timeout = \"10s\"\n")
            .store(&self.url())
            .issuer(ISSUER, &self.path("jwks.json"))
            .aws(&self.aws.endpoint());
        for change in ["associate", "disassociate", "describe"] {
            settings = settings.table("limits.upstream", &format!("{change}_per_second = 1000\n"));
        }
        for tenant in ["payments", "orders"] {
            settings = settings.tenant(tenant, limits);
            for (_, account) in ACCOUNTS.iter().filter(|(of, _)| *of == tenant) {
                let account = AccountText { tenant, account, region: REGION, kms_keys: "*" };
                settings = settings.account(&account, "query_results = true\n");
            }
        }
        settings = settings.tenant(FLEET, limits);
        for account in FLEET_ACCOUNTS {
            let quota = format!("account_id = \"{account}\"\nassociate_per_second = 20\n");
            let account = AccountText { tenant: FLEET, account, region: REGION, kms_keys: "*" };
            settings = settings.account(&account, "").element("limits.accounts", &quota);
        }
        format!("{more}\n{settings}")
    }

    pub(crate) fn token(&self, tenant: &str) -> String {
        self.issuer.token_with(tenant, SCOPES, &[("exp", (jiff::Timestamp::now().as_second() + 7200).into())])
    }

    /// The number of a log group of the account that no caller has changed yet.
    pub(crate) fn cold(&self, account: usize) -> usize {
        let next = self.cold.get(account).unwrap().fetch_add(1, Ordering::Relaxed);
        assert!(next < COLD, "so many rounds need more log groups; increase COLD");
        next
    }

    /// The path of a file in the environment's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("logkey.toml")
    }

    /// The folder of the store and its archive.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// The folder of the archive, on the same disk as the store.
    pub(crate) fn archive(&self) -> PathBuf {
        self.store().join("archive")
    }

    pub(crate) fn url(&self) -> String {
        let file = || format!("sqlite://{}/logkey.db", self.store().display());
        self.server.clone().unwrap_or_else(file)
    }

    pub(crate) fn uses_postgres(&self) -> bool {
        self.server.is_some()
    }

    /// Every call to change a key, in order.
    pub(crate) fn changes(&self) -> Vec<Entry> {
        let all = self.aws.sandbox().journal().into_iter();
        all.filter(|call| call.operation == "AssociateKmsKey" || call.operation == "DisassociateKmsKey")
            .collect()
    }
}
