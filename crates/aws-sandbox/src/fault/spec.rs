//! One fault: which calls it affects, how often, and what happens to those calls.

use serde::{Deserialize, Serialize};

use crate::service::Service;

/// One fault. Every selector that is absent matches all calls. Seeds and the control API use the same fields;
/// `docs/sandbox.md` describes them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only calls to this service: `logs`, `kms`, `sts`, `iam`, `tagging` or `servicequotas`.
    pub service: Option<String>,
    /// Only this operation, such as `AssociateKmsKey`.
    pub operation: Option<String>,
    /// Only calls in this account; for `AssumeRole`, the account of the assumed role.
    pub account: Option<String>,
    /// Only calls signed for this Region.
    pub region: Option<String>,
    /// Only calls by the role with this name; for `AssumeRole`, calls that assume it.
    pub role: Option<String>,
    /// Only calls with a parameter of exactly this value, such as a log group name.
    pub parameter: Option<String>,
    /// The number of matching calls that pass before the fault affects any.
    #[serde(default)]
    pub skip: u32,
    /// The maximum number of calls that the fault affects; unlimited if absent.
    pub times: Option<u32>,
    /// The share of calls that the fault affects at random, in percent; 100 if absent.
    pub percent: Option<u8>,
    /// Whether the fault acts before or after the operation takes effect.
    #[serde(default)]
    pub when: When,
    /// What the fault does to the call.
    pub effect: Effect,
}

/// Whether the operation takes effect before the fault acts.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The fault acts first; an error or reset prevents the operation.
    #[default]
    Before,
    /// The operation takes effect first; only the response is affected.
    After,
}

/// What a fault does.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The service's throttling error, such as `Rate exceeded`.
    #[default]
    Throttle,
    /// An error response with any code.
    Error {
        /// The error code.
        code: String,
        /// The error message; the code if absent.
        message: Option<String>,
        /// The HTTP status; 400 if absent.
        status: Option<u16>,
    },
    /// A delay, after which the call continues.
    Latency {
        /// The minimum delay in milliseconds.
        ms: u64,
        /// The maximum random addition in milliseconds; 0 by default.
        #[serde(default)]
        jitter_ms: u64,
    },
    /// No response until the caller gives up.
    Hang,
    /// The connection is reset.
    Reset,
    /// The first half of the response, then a reset.
    Truncate,
    /// A response with status 200 and meaningless bytes.
    Garbage,
    /// The response arrives a few bytes at a time.
    Drip {
        /// The number of bytes in each piece.
        bytes: usize,
        /// The pause before each piece, in milliseconds.
        every_ms: u64,
    },
    /// `AssumeRole` returns credentials that have already expired.
    ExpiredCredentials,
    /// `AssumeRole` returns a session that claims to belong to another account.
    WrongAccount(
        /// The account that the session claims.
        String,
    ),
}

/// The attributes of a call that faults select by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestAttrs<'a> {
    pub(crate) service: Service,
    pub(crate) operation: &'a str,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) role: &'a str,
    pub(crate) params: &'a serde_json::Map<String, serde_json::Value>,
}

// === impl Fault ===

impl Fault {
    /// A fault that affects every call of one operation.
    #[must_use]
    pub fn on(operation: &str, effect: Effect) -> Self {
        Self { operation: Some(operation.to_owned()), effect, ..Self::default() }
    }

    /// Limits the fault to this many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Limits the fault to one account.
    #[must_use]
    pub fn in_account(self, account: &str) -> Self {
        Self { account: Some(account.to_owned()), ..self }
    }

    /// Makes the fault act after the operation takes effect.
    #[must_use]
    pub fn after(self) -> Self {
        Self { when: When::After, ..self }
    }

    /// Whether the fault selects a call with these attributes.
    pub(super) fn matches(&self, attrs: &RequestAttrs<'_>) -> bool {
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
