//! A seed in Rust, for tests and the demo: what a file would say, with less writing.

use super::{
    Sandbox,
    clock::Clock,
    fault::Fault,
    quota::Rate,
    seed::{
        AccountSeed, KeySeed, LogGroupSeed, PolicyText, QueryPlan, QuotaSeed, RoleSeed, Seed, SeedFaults,
        ServiceIdentity,
    },
};

/// Describes an embedded AWS.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    seed: Seed,
    clock: Option<Clock>,
}

// === impl Builder ===

impl Builder {
    /// What time it is there.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Whose credentials the service has.
    #[must_use]
    pub fn service_principal(mut self, arn: &str, access_key_id: &str) -> Self {
        self.seed.service_principal =
            Some(ServiceIdentity { arn: arn.to_owned(), access_key_id: access_key_id.to_owned() });
        self
    }

    /// No quotas at all.
    #[must_use]
    pub fn without_quotas(mut self) -> Self {
        self.seed.quotas = Some(QuotaSeed { off: true, ..QuotaSeed::default() });
        self
    }

    /// Another quota for one operation.
    #[must_use]
    pub fn quota(mut self, operation: &str, rate: Rate) -> Self {
        let quotas = self.seed.quotas.get_or_insert_default();
        quotas.rates.insert(operation.to_owned(), rate);
        self
    }

    /// Takes signatures as they come, which costs less.
    #[must_use]
    pub fn without_signatures(mut self) -> Self {
        self.seed.verify_signatures = Some(false);
        self
    }

    /// Calls that the journal keeps; 0 switches it off.
    #[must_use]
    pub fn journal(mut self, limit: usize) -> Self {
        self.seed.journal.limit = limit;
        self
    }

    /// A fault that is there from the start.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.seed.faults.push(fault);
        self
    }

    /// An account, described by `with`.
    #[must_use]
    pub fn account(mut self, id: &str, with: impl FnOnce(AccountSeed) -> AccountSeed) -> Self {
        let account = AccountSeed { account_id: id.to_owned(), ..AccountSeed::default() };
        self.seed.accounts.push(with(account));
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the description.
    pub fn build(self) -> Result<Sandbox, SeedFaults> {
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

    /// Queries that so many looks find running before they come to this end.
    #[must_use]
    pub fn queries(mut self, running: u32, end: &str) -> Self {
        self.queries = Some(QueryPlan { running, end: end.to_owned() });
        self
    }

    /// A role that trusts the hub with this external id, and may do everything.
    #[must_use]
    pub fn role(self, name: &str, external_id: &str) -> Self {
        self.role_with(RoleSeed {
            name: name.to_owned(),
            external_id: Some(external_id.to_owned()),
            ..RoleSeed::default()
        })
    }

    /// Any role.
    #[must_use]
    pub fn role_with(mut self, role: RoleSeed) -> Self {
        self.roles.push(role);
        self
    }

    /// A key with a policy by its name, such as `allow-logs`.
    #[must_use]
    pub fn key(self, region: &str, id: &str, policy: &str) -> Self {
        self.key_with(KeySeed {
            id: id.to_owned(),
            region: region.to_owned(),
            policy: Some(PolicyText::Text(policy.to_owned())),
            ..KeySeed::default()
        })
    }

    /// Any key.
    #[must_use]
    pub fn key_with(mut self, key: KeySeed) -> Self {
        self.keys.push(key);
        self
    }

    /// A log group without a key.
    #[must_use]
    pub fn log_group(self, region: &str, name: &str) -> Self {
        self.log_group_with(LogGroupSeed {
            name: name.to_owned(),
            region: region.to_owned(),
            ..LogGroupSeed::default()
        })
    }

    /// Any log group, or many.
    #[must_use]
    pub fn log_group_with(mut self, group: LogGroupSeed) -> Self {
        self.log_groups.push(group);
        self
    }
}
