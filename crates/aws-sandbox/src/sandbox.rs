//! The Rust API of the embedded AWS: starts it, adds seeds and faults, and reads what happened.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    call_log::Entry,
    clock::Clock,
    fault::{active::ActiveFault, spec::Fault},
    http,
    instance::Instance,
    logs::service::{may_use, role_may_use},
    seed::{contents::Seed, error::SeedErrors},
};

/// An embedded AWS. A clone is cheap and shares the state of the original.
#[derive(Clone, Debug)]
pub struct Sandbox(pub(crate) Arc<Instance>);

/// An embedded AWS that serves on a free local port until this value is dropped.
#[derive(Debug)]
pub struct Running {
    sandbox: Sandbox,
    address: SocketAddr,
    task: JoinHandle<()>,
}

// === impl Sandbox ===

impl Sandbox {
    /// Creates a sandbox with the contents of `seed`.
    ///
    /// # Errors
    ///
    /// Every error in the seed.
    pub fn new(seed: &Seed, clock: Clock) -> Result<Self, SeedErrors> {
        Instance::new(seed, clock).map(|instance| Self(Arc::new(instance)))
    }

    /// Serves on `listener` until `shutdown` resolves, then closes every connection at once.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        if let Ok(address) = listener.local_addr() {
            tracing::warn!(
                net.address = %address,
                "the embedded AWS is listening; use it only for tests and trials"
            );
        }
        http::serve(self.0, listener, shutdown).await;
    }

    /// Serves on a free local port, in a separate task.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub async fn start(self) -> io::Result<Running> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let serving = self.clone().serve(listener, std::future::pending());
        Ok(Running { sandbox: self, address, task: tokio::spawn(serving) })
    }

    /// Adds the contents of `seed`. An object with the same name is replaced.
    ///
    /// # Errors
    ///
    /// Every error in the seed. On an error, nothing is added.
    pub fn apply(&self, seed: &Seed) -> Result<(), SeedErrors> {
        self.0.apply(seed)
    }

    /// Adds a fault and returns its id, or `None` if 1,000 faults are already active.
    #[expect(clippy::must_use_candidate, reason = "few callers remove a fault by its id")]
    pub fn fault(&self, fault: Fault) -> Option<u64> {
        self.0.faults.add(fault)
    }

    /// The active faults, with the number of calls that each has matched and affected.
    #[must_use]
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.0.faults.list()
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.0.faults.remove(None);
    }

    /// The recorded calls, oldest first. The seed's `journal.limit` bounds how many are kept.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.0.journal.since(0, usize::MAX)
    }

    /// The recorded calls after the one with this number, oldest first.
    #[must_use]
    pub fn journal_since(&self, sequence: u64) -> Vec<Entry> {
        self.0.journal.since(sequence, usize::MAX)
    }

    /// Deletes the recorded calls. The numbering continues.
    pub fn clear_journal(&self) {
        self.0.journal.clear();
    }

    /// The secret keys and tokens of all sessions. Tests use them to check that no secret leaks.
    #[must_use]
    pub fn session_secrets(&self) -> Vec<String> {
        self.0.state.credentials.secrets()
    }

    /// The ARN of the key on a log group; `None` if there is no such log group, or if it has no key.
    #[must_use]
    pub fn log_group_key(&self, account: &str, region: &str, name: &str) -> Option<String> {
        let region = self.0.state.account(account)?.region(region)?;
        region.logs().groups.get(name)?.kms_key.clone()
    }

    /// The ARN of the key of an account's query results; `None` if no key is set.
    #[must_use]
    pub fn query_results_key(&self, account: &str, region: &str) -> Option<String> {
        let region = self.0.state.account(account)?.region(region)?;
        region.logs().query_results_key.clone()
    }

    /// Whether the policy of the key with this ARN lets `CloudWatch` Logs use it for a resource in the key's
    /// account and Region; `None` if there is no such key.
    #[must_use]
    pub fn logs_may_use(&self, key_arn: &str, resource_arn: &str) -> Option<bool> {
        let (region, key) = self.0.state.key(key_arn)?;
        Some(may_use(&key, &region, resource_arn))
    }

    /// Whether the policy of the key with this ARN lets a role of the key's account use it through
    /// `CloudWatch` Logs for a resource, or leaves that to the role's own policies; `None` if there is no such
    /// key or role.
    #[must_use]
    pub fn role_may_use(&self, role: &str, key_arn: &str, resource_arn: &str) -> Option<bool> {
        let (region, key) = self.0.state.key(key_arn)?;
        let role = self.0.state.account(&key.account_id)?.role(role)?;
        Some(role_may_use(&key, &region, &role, resource_arn))
    }
}

// === impl Running ===

impl Running {
    /// The endpoint URL for an AWS SDK, such as `http://127.0.0.1:4566`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The sandbox that serves, for faults and the journal.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
