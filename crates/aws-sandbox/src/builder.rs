//! Builds a seed in Rust instead of TOML. Tests, benchmarks and the demo use it.

use crate::{
    clock::Clock,
    fault::spec::Fault,
    quota::Rate,
    sandbox::Sandbox,
    seed::{
        contents::{
            AccountSeed, KeySeed, LogGroupSeed, PolicyText, QueryPlan, QueueSeed, QuotaSeed, RoleSeed, Seed,
            ServiceIdentity,
        },
        error::SeedErrors,
    },
};

/// Collects a seed and a clock for a [`Sandbox`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    seed: Seed,
    clock: Option<Clock>,
}

// === impl Sandbox ===

impl Sandbox {
    /// A builder without accounts, with AWS's published quotas.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

// === impl Builder ===

impl Builder {
    /// The clock; by default, it follows tokio's time.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The principal that the service runs as, and its access key id.
    #[must_use]
    pub fn service_principal(mut self, arn: &str, access_key_id: &str) -> Self {
        let (arn, access_key_id) = (arn.to_owned(), access_key_id.to_owned());
        self.seed.service_principal =
            Some(ServiceIdentity { arn, access_key_id, ..ServiceIdentity::default() });
        self
    }

    /// The identity policy of the principal that the service runs as, as JSON.
    #[must_use]
    pub fn service_policy(mut self, policy: &str) -> Self {
        let identity = self.seed.service_principal.get_or_insert_default();
        identity.policy = Some(PolicyText::Text(policy.to_owned()));
        self
    }

    /// The share of the packed size of session policies and tags that the tags of the service's own session take,
    /// in percent.
    #[must_use]
    pub fn packed_tags_percent(mut self, percent: usize) -> Self {
        self.seed.service_principal.get_or_insert_default().packed_tags_percent = percent;
        self
    }

    /// Removes all quotas.
    #[must_use]
    pub fn without_quotas(mut self) -> Self {
        self.seed.quotas = Some(QuotaSeed { off: true, ..QuotaSeed::default() });
        self
    }

    /// Replaces the quota of one operation, in every account.
    #[must_use]
    pub fn quota(mut self, operation: &str, rate: Rate) -> Self {
        let quotas = self.seed.quotas.get_or_insert_default();
        quotas.rates.insert(operation.to_owned(), rate);
        self
    }

    /// Accepts any signature, which takes less processor time than verification.
    #[must_use]
    pub fn without_signatures(mut self) -> Self {
        self.seed.verify_signatures = Some(false);
        self
    }

    /// The number of calls that the journal keeps; 0 switches it off.
    #[must_use]
    pub fn journal(mut self, limit: usize) -> Self {
        self.seed.journal.limit = limit;
        self
    }

    /// The queue that gets an event for each call that creates a log group or changes a key, in any account.
    #[must_use]
    pub fn event_queue(mut self, arn: &str) -> Self {
        self.seed.event_queue = Some(arn.to_owned());
        self
    }

    /// Adds a fault that is active from the start.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.seed.faults.push(fault);
        self
    }

    /// Adds an account; `with` fills in its contents.
    #[must_use]
    pub fn account(mut self, id: &str, with: impl FnOnce(AccountSeed) -> AccountSeed) -> Self {
        let account = AccountSeed { account_id: id.to_owned(), ..AccountSeed::default() };
        self.seed.accounts.push(with(account));
        self
    }

    /// Creates the sandbox.
    ///
    /// # Errors
    ///
    /// Every error in the seed.
    pub fn build(self) -> Result<Sandbox, SeedErrors> {
        Sandbox::new(&self.seed, self.clock.unwrap_or_default())
    }
}

// === impl AccountSeed ===

impl AccountSeed {
    /// Enables a Region.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.regions.push(region.to_owned());
        self
    }

    /// Sets how many polls find a query running, and the status it then ends with.
    #[must_use]
    pub fn queries(mut self, running: u32, end: &str) -> Self {
        self.queries = Some(QueryPlan { running, end: end.to_owned() });
        self
    }

    /// Adds a role with all permissions, which trusts the service identity with this external id.
    #[must_use]
    pub fn role(self, name: &str, external_id: &str) -> Self {
        self.role_with(RoleSeed {
            name: name.to_owned(),
            external_id: Some(external_id.to_owned()),
            ..RoleSeed::default()
        })
    }

    /// Adds a role with every setting chosen by the caller.
    #[must_use]
    pub fn role_with(mut self, role: RoleSeed) -> Self {
        self.roles.push(role);
        self
    }

    /// Adds a key with a named policy, such as `allow-logs`.
    #[must_use]
    pub fn key(self, region: &str, id: &str, policy: &str) -> Self {
        self.key_with(KeySeed {
            id: id.to_owned(),
            region: region.to_owned(),
            policy: Some(PolicyText::Text(policy.to_owned())),
            ..KeySeed::default()
        })
    }

    /// Adds a key with every setting chosen by the caller.
    #[must_use]
    pub fn key_with(mut self, key: KeySeed) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds an SQS queue.
    #[must_use]
    pub fn queue(mut self, queue: QueueSeed) -> Self {
        self.queues.push(queue);
        self
    }

    /// Adds a log group without a key.
    #[must_use]
    pub fn log_group(self, region: &str, name: &str) -> Self {
        self.log_group_with(LogGroupSeed {
            name: name.to_owned(),
            region: region.to_owned(),
            ..LogGroupSeed::default()
        })
    }

    /// Adds a log group, or several with a `count`.
    #[must_use]
    pub fn log_group_with(mut self, group: LogGroupSeed) -> Self {
        self.log_groups.push(group);
        self
    }
}
