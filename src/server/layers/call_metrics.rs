//! The metrics that each call updates. `trace` calls it at the end of a call.
//!
//! A metric is looked up at its first use only, because a lookup allocates the labels, hashes them and takes a lock.

use std::{sync::OnceLock, time::Duration};

use metrics::{Counter, Histogram, counter, histogram};

use crate::domain::{call::Action, grpc_code::CODE_NAMES};

/// The number of actions, with that of a method that this service does not have.
const ACTIONS: usize = Action::ALL.len() + 1;

/// The metrics of all calls, at the position of the action.
#[derive(Debug)]
pub(super) struct CallMetrics([ActionMetrics; ACTIONS]);

/// The metrics of the calls of one action.
#[derive(Debug)]
struct ActionMetrics {
    /// At the position of the code in [`CODE_NAMES`].
    requests: [OnceLock<Counter>; CODE_NAMES.len()],
    seconds: OnceLock<Histogram>,
}

// === impl CallMetrics ===

impl CallMetrics {
    /// Records a call that ended with this code. `tenant` is the value of the label, if calls have it.
    pub(super) fn record(&self, action: Action, code: &'static str, tenant: Option<&str>, latency: Duration) {
        let rpc = action.as_str();
        // A test shows that every action has its metrics.
        let Some(ActionMetrics { requests, seconds }) = self.0.get(action as usize) else { return };
        let requests = CODE_NAMES.iter().zip(requests).find(|(name, _)| **name == code);
        if let Some(tenant) = tenant {
            let tenant = tenant.to_owned();
            counter!("logkey_requests_total", "rpc" => rpc, "code" => code, "tenant" => tenant).increment(1);
        } else if let Some((_, requests)) = requests {
            let requests =
                requests.get_or_init(|| counter!("logkey_requests_total", "rpc" => rpc, "code" => code));
            requests.increment(1);
        }
        seconds.get_or_init(|| histogram!("logkey_request_seconds", "rpc" => rpc)).record(latency);
    }
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self([const { ActionMetrics::new() }; ACTIONS])
    }
}

// === impl ActionMetrics ===

impl ActionMetrics {
    const fn new() -> Self {
        Self { requests: [const { OnceLock::new() }; CODE_NAMES.len()], seconds: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_position() {
        for action in Action::ALL.into_iter().chain([Action::Unknown]) {
            assert!((action as usize) < ACTIONS, "{action}");
        }
    }
}
