//! Faults on demand: which calls they meet, how often, and what then happens.

mod active;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::active::ActiveFault;
pub(crate) use self::active::{FaultPlan, Faults, RequestAttrs, ResponseMutation};

/// One fault. What is not named is met by everything; see the module's documentation for seeds
/// and the control port, which take the same fields.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only calls of this service: `logs`, `kms`, `sts`, `iam` or `servicequotas`.
    pub service: Option<String>,
    /// Only this operation, such as `AssociateKmsKey`.
    pub operation: Option<String>,
    /// Only calls that act on this account; for `AssumeRole`, the role's.
    pub account: Option<String>,
    /// Only calls signed for this Region.
    pub region: Option<String>,
    /// Only calls of this role, by its name; for `AssumeRole`, on it.
    pub role: Option<String>,
    /// Only calls with a parameter that is exactly this, such as the name of a log group.
    pub parameter: Option<String>,
    /// Lets so many calls pass before the first.
    #[serde(default)]
    pub skip: u32,
    /// Meets so many calls at most; absent, all.
    pub times: Option<u32>,
    /// Meets so many of a hundred calls, by chance; absent, all.
    pub percent: Option<u8>,
    /// Before or after the operation takes effect.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub effect: Effect,
}

/// Whether the operation has taken effect by the time a fault strikes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// It has not, and will not.
    #[default]
    Before,
    /// It has; only the answer suffers.
    After,
}

/// What a fault does.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// `Rate exceeded`, in the service's own words.
    #[default]
    Throttle,
    /// Any error.
    Error {
        /// The error code.
        code: String,
        /// The text; absent, the code.
        message: Option<String>,
        /// The HTTP status; absent, 400.
        status: Option<u16>,
    },
    /// A wait, after which the call goes on.
    Latency {
        /// At least so many milliseconds.
        ms: u64,
        /// And up to so many more, by chance.
        #[serde(default)]
        jitter_ms: u64,
    },
    /// No answer, until the caller gives up.
    Hang,
    /// The connection is reset.
    Reset,
    /// The first half of the answer, then a reset.
    Truncate,
    /// An answer with status 200 that means nothing.
    Garbage,
    /// The answer comes a few bytes at a time.
    Drip {
        /// Bytes at a time.
        bytes: usize,
        /// Milliseconds between them.
        every_ms: u64,
    },
    /// `AssumeRole` gives out credentials that are over already.
    ExpiredCredentials,
    /// `AssumeRole` says that its session is of another account.
    WrongAccount(
        /// Which one.
        String,
    ),
}

// === impl Fault ===

impl Fault {
    /// A fault of one operation, everywhere and always.
    #[must_use]
    pub fn on(operation: &str, effect: Effect) -> Self {
        Self { operation: Some(operation.to_owned()), effect, ..Self::default() }
    }

    /// The same, so many times only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same, in one account only.
    #[must_use]
    pub fn in_account(self, account: &str) -> Self {
        Self { account: Some(account.to_owned()), ..self }
    }

    /// The same, once the operation has taken effect.
    #[must_use]
    pub fn after(self) -> Self {
        Self { when: When::After, ..self }
    }

    fn fits(&self, attrs: &RequestAttrs<'_>) -> bool {
        let is = |expected: &Option<String>, actual: &str| {
            expected.as_deref().is_none_or(|expected| expected == actual)
        };
        is(&self.service, attrs.service.name())
            && is(&self.operation, attrs.operation)
            && is(&self.account, attrs.account)
            && is(&self.region, attrs.region)
            && is(&self.role, attrs.role)
            && self.parameter.as_deref().is_none_or(|expected| {
                let mut values = attrs.params.values();
                values.any(|value| value.as_str() == Some(expected))
            })
    }
}
