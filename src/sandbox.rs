//! The embedded AWS: STS, IAM, `CloudWatch` Logs, KMS, Service Quotas and tags over a real socket, for tests,
//! the demo and trying things out. A stand-in and no more: nothing is encrypted, nothing is kept.
//! `docs/sandbox.md` says what it holds to.

mod api_error;
mod authorizer;
pub mod builder;
pub mod call_log;
pub mod clock;
mod control;
pub mod fault;
mod handler;
mod http;
mod iam;
mod identity;
mod kms;
mod logs;
mod partition;
mod policy;
pub mod quota;
pub mod seed;
mod servicequotas;
mod sigv4;
mod state;
mod sts;
mod tagging;
mod validate;
mod wire;

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

use self::{
    builder::Builder,
    call_log::{CallLog, Entry},
    clock::Clock,
    fault::{ActiveFault, Fault, Faults},
    seed::{Seed, SeedFaults},
    state::AwsState,
};

pub use self::{policy::InvalidPolicy, wire::Service};

/// An embedded AWS; cheap to clone, and each clone is the same one.
#[derive(Clone, Debug)]
pub struct Sandbox(Arc<Inner>);

/// An embedded AWS that serves on a port of its own, until this is dropped.
#[derive(Debug)]
pub struct Running {
    sandbox: Sandbox,
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    state: AwsState,
    faults: Faults,
    journal: CallLog,
    verify_signatures: bool,
}

// === impl Sandbox ===

impl Sandbox {
    /// Begins to describe one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One that holds what `seed` says.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the seed.
    pub fn new(seed: &Seed, clock: Clock) -> Result<Self, SeedFaults> {
        let inner = Inner {
            state: AwsState::new(clock),
            faults: Faults::default(),
            journal: CallLog::new(seed.journal.limit),
            verify_signatures: seed.verify_signatures.unwrap_or(true),
        };
        inner.apply(seed)?;
        Ok(Self(Arc::new(inner)))
    }

    /// Serves on `listener` until `shutdown` resolves; then ends every connection at once.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        if let Ok(address) = listener.local_addr() {
            tracing::warn!(
                net.address = %address,
                "an embedded stand-in for AWS listens: for tests and trying out only"
            );
        }
        http::serve(self.0, listener, shutdown).await;
    }

    /// Serves on a free port of this machine, apart from the caller.
    ///
    /// # Errors
    ///
    /// If there is no port to be had.
    pub async fn start(self) -> io::Result<Running> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let serving = self.clone().serve(listener, std::future::pending());
        Ok(Running { sandbox: self, address, task: tokio::spawn(serving) })
    }

    /// Adds what `seed` says; what has the same name is replaced.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the seed; then nothing is added.
    pub fn apply(&self, seed: &Seed) -> Result<(), SeedFaults> {
        self.0.apply(seed)
    }

    /// Sets a fault and tells its number; `None` where there are too many.
    #[expect(clippy::must_use_candidate, reason = "few take a fault back by its number")]
    pub fn fault(&self, fault: Fault) -> Option<u64> {
        self.0.faults.add(fault)
    }

    /// All faults that are set, and how they have fared.
    #[must_use]
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.0.faults.list()
    }

    /// Takes back all faults.
    pub fn clear_faults(&self) {
        self.0.faults.remove(None);
    }

    /// Every call so far, the oldest first, as far as they are kept.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.0.journal.since(0, usize::MAX)
    }

    /// Forgets the calls so far.
    pub fn clear_journal(&self) {
        self.0.journal.clear();
    }

    /// The secret keys and tokens of all sessions that were given out, for tests that look for them
    /// where they must not be.
    #[must_use]
    pub fn session_secrets(&self) -> Vec<String> {
        self.0.state.credentials.secrets()
    }

    /// The ARN of the key on a log group, where there are both.
    #[must_use]
    pub fn log_group_key(&self, account: &str, region: &str, name: &str) -> Option<String> {
        let region = self.0.state.account(account)?.region(region)?;
        region.logs().groups.get(name)?.kms_key.clone()
    }

    /// The ARN of the key of an account's query results, where there is one.
    #[must_use]
    pub fn query_results_key(&self, account: &str, region: &str) -> Option<String> {
        let region = self.0.state.account(account)?.region(region)?;
        region.logs().query_results_key.clone()
    }
}

// === impl Running ===

impl Running {
    /// Where it listens, as the AWS SDKs want it told.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The one that serves.
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

// === impl Inner ===

impl Inner {
    fn apply(&self, seed: &Seed) -> Result<(), SeedFaults> {
        seed::apply(&self.state, seed)?;
        for fault in &seed.faults {
            self.faults.add(fault.clone());
        }
        Ok(())
    }
}
