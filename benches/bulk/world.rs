//! The job, in the format of each side: the seed of the embedded AWS, the settings of the service, and the
//! accounts and policy of cloud-custodian.

use std::{
    fmt::{Display, Write as _},
    fs,
    net::SocketAddr,
    path::PathBuf,
};

use tempfile::TempDir;

use crate::{Outcome, PER_SECOND, process::logkey};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const ISSUER: &str = "http://127.0.0.1";
pub(crate) const TENANT: &str = "bulk";
const ROLE: &str = "LogKeyAssociator";
const EXTERNAL_ID: &str = "external-bulk";
const KEY_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
/// How many calls the embedded AWS keeps in its journal.
const JOURNAL: usize = 1_000_000;

/// The job.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) accounts: Vec<String>,
    /// The number of log groups in each account.
    pub(crate) groups: usize,
    /// The number of log groups in each account that are only for single calls.
    single_groups: usize,
}

// === impl World ===

impl World {
    pub(crate) fn new(accounts: usize, groups: u32) -> Outcome<Self> {
        let accounts = (0..accounts).map(|n| format!("{:012}", 100_000_000_000 + n)).collect();
        let (folder, groups) = (tempfile::tempdir()?, usize::try_from(groups)?);
        let world = Self { folder, accounts, groups, single_groups: 0 };
        logkey(&["token", "--new-key", &world.path("keys").display().to_string()])?;
        Ok(world)
    }

    /// Adds log groups that no job selects.
    pub(crate) fn with_single_groups(self, single_groups: usize) -> Self {
        Self { single_groups, ..self }
    }

    /// A token of the tenant.
    pub(crate) fn token(&self) -> Outcome<String> {
        let key = self.path("keys/es256.pem").display().to_string();
        logkey(&[
            "token",
            "--key-file",
            &key,
            "--issuer",
            ISSUER,
            "--tenant",
            TENANT,
            "--ttl",
            "1h",
            "--scope",
            "logkey:read logkey:associate logkey:bulk",
        ])
    }

    /// Deletes the store, so that the next service starts with an empty one.
    pub(crate) fn forget_store(&self) {
        for name in ["logkey.db", "logkey.db-wal", "logkey.db-shm"] {
            let _missing = fs::remove_file(self.path(name));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn group(number: impl Display) -> String {
        format!("/bulk/{number}")
    }

    /// A log group that no job selects.
    pub(crate) fn single_group(number: usize) -> String {
        format!("/single/{number}")
    }

    pub(crate) fn key(account: &str) -> String {
        format!("arn:aws:kms:{REGION}:{account}:key/{KEY_ID}")
    }

    pub(crate) fn seed(&self) -> Outcome<PathBuf> {
        let mut seed = format!(
            "[journal]\nlimit = {JOURNAL}\n[quotas]\nAssociateKmsKey = {{ per_second = {PER_SECOND}, burst = {PER_SECOND} }}\n"
        );
        for account in &self.accounts {
            write!(
                seed,
                r#"
                [[accounts]]
                account_id = "{account}"
                regions = ["{REGION}"]
                [[accounts.roles]]
                name = "{ROLE}"
                external_id = "{EXTERNAL_ID}"
                [[accounts.keys]]
                id = "{KEY_ID}"
                region = "{REGION}"
                policy = "allow-logs"
                [[accounts.log_groups]]
                name = "/bulk/{{n}}"
                region = "{REGION}"
                count = {}
                "#,
                self.groups
            )?;
            if self.single_groups > 0 {
                let (name, count) = ("/single/{n}", self.single_groups);
                write!(
                    seed,
                    "[[accounts.log_groups]]\nname = \"{name}\"\nregion = \"{REGION}\"\ncount = {count}\n"
                )?;
            }
        }
        self.write("seed.toml", &seed)
    }

    /// Writes the settings of the service. Its keys are next to them, in `keys`.
    pub(crate) fn settings(&self, aws: &str, listen: [SocketAddr; 2]) -> Outcome<PathBuf> {
        let (here, [grpc, admin]) = (self.folder.path().display(), listen);
        let mut settings = format!(
            r#"
            [server]
            listen = "{grpc}"
            admin_listen = "{admin}"
            request_timeout = "5m"
            [store]
            url = "sqlite://{here}/logkey.db"
            [telemetry]
            log_level = "warn"
            [[auth.issuers]]
            issuer = "{ISSUER}"
            audiences = ["logkey"]
            jwks_file = "{here}/keys/jwks.json"
            [limits.tenant]
            per_second = 100000
            burst = 100000
            max_in_flight = 100000
            [aws]
            region = "{REGION}"
            endpoint_url = "{aws}"
            [[tenants]]
            id = "{TENANT}"
            issuers = ["{ISSUER}"]
            "#
        );
        for account in &self.accounts {
            write!(
                settings,
                r#"
                [[tenants.accounts]]
                account_id = "{account}"
                role_arn = "arn:aws:iam::{account}:role/{ROLE}"
                external_id = "{EXTERNAL_ID}"
                regions = ["{REGION}"]
                log_groups = ["/bulk/*", "/single/*"]
                kms_keys = ["{}"]
                "#,
                Self::key(account)
            )?;
        }
        self.write("logkey.toml", &settings)
    }

    /// Writes the accounts and the policy of cloud-custodian.
    pub(crate) fn custodian(&self) -> Outcome<[PathBuf; 2]> {
        let mut accounts = String::from("accounts:\n");
        for account in &self.accounts {
            write!(
                accounts,
                "- name: a{account}\n  account_id: '{account}'\n  role: arn:aws:iam::{account}:role/{ROLE}\n  external_id: {EXTERNAL_ID}\n  regions: [{REGION}]\n"
            )?;
        }
        let policy = format!(
            "policies:\n- name: set-keys\n  resource: aws.log-group\n  filters:\n  - kmsKeyId: absent\n  actions:\n  - type: set-encryption\n    kms-key: '{}'\n    state: true\n",
            Self::key("{account_id}")
        );
        Ok([self.write("accounts.yml", &accounts)?, self.write("policy.yml", &policy)?])
    }
}
