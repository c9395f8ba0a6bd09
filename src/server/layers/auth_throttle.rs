//! Limits token verification for addresses that send many invalid tokens, so that a flood of them costs
//! little.
//!
//! It does not lock out valid callers behind the same address: a cached token bypasses the throttle, and one
//! verification in eight is always allowed.

use std::{collections::HashMap, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use metrics::counter;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    limit::gcra::{Gcra, Rate},
    server::transport::source::ip_network,
};

/// The invalid tokens per second that one address may send in the long run.
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);
/// The invalid tokens that one address may send at once.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_999);
/// One in this number of tokens is verified even from a throttled address.
const SAMPLE_RATE: u32 = 8;
/// The maximum number of addresses with separate counts; further addresses share one count.
const MAX_TRACKED: usize = 16_384;

/// Counts invalid tokens by address.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthFailureThrottle(Arc<Mutex<Failures>>);

#[derive(Debug, Default)]
struct Failures {
    by_source: HashMap<IpAddr, Gcra>,
    /// The shared count of all further addresses.
    others: Option<Gcra>,
}

// === impl AuthFailureThrottle ===

impl AuthFailureThrottle {
    /// Decides whether a token that is not cached may be verified.
    ///
    /// # Errors
    ///
    /// The time until this address may try again.
    pub(super) fn try_acquire(&self, source: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let failures = self.0.lock();
        let Some(own) = failures.by_source.get(&ip_network(source)).or(failures.others.as_ref()) else {
            return Ok(());
        };
        let (left, reset) = (own.remaining(now, failure_rate()), own.reset(now, failure_rate()));
        drop(failures);
        if left > 0 || rand::random_ratio(1, SAMPLE_RATE) {
            return Ok(());
        }
        counter!("logkey_limit_refused_total", "cause" => "failed_authentications").increment(1);
        Err(reset.min(Duration::from_secs(1)))
    }

    /// Counts an invalid token.
    pub(super) fn record_failure(&self, source: IpAddr) {
        let now = Instant::now();
        let mut failures = self.0.lock();
        if failures.by_source.len() >= MAX_TRACKED && !failures.by_source.contains_key(&ip_network(source)) {
            failures.by_source.retain(|_, own| !own.is_full(now));
        }
        let own = if failures.by_source.len() < MAX_TRACKED
            || failures.by_source.contains_key(&ip_network(source))
        {
            failures.by_source.entry(ip_network(source)).or_insert_with(|| Gcra::full(now))
        } else {
            failures.others.get_or_insert_with(|| Gcra::full(now))
        };
        // The result does not matter here: `try_acquire` checks the count before the next token.
        let _ = own.try_acquire(now, failure_rate(), NonZeroU32::MIN);
    }
}

fn failure_rate() -> Rate {
    Rate::new(PER_SECOND, BURST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(auth_throttle: &AuthFailureThrottle, source: &str, times: u32) -> u32 {
        let source = source.parse().unwrap();
        (0..times).map(|_| u32::from(auth_throttle.try_acquire(source).is_ok())).sum()
    }

    fn fail(auth_throttle: &AuthFailureThrottle, source: &str, times: u32) {
        (0..times).for_each(|_| auth_throttle.record_failure(source.parse().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_many_invalid_tokens_is_throttled_alone() {
        let auth_throttle = AuthFailureThrottle::default();
        fail(&auth_throttle, "192.0.2.1", 1_999);
        assert_eq!(allowed(&auth_throttle, "192.0.2.1", 1_000), 1_000);
        fail(&auth_throttle, "192.0.2.1", 5_000);
        let open = allowed(&auth_throttle, "192.0.2.1", 8_000);
        assert!((700..=1_300).contains(&open), "{open}");
        assert_eq!(allowed(&auth_throttle, "192.0.2.2", 1_000), 1_000);
        tokio::time::advance(Duration::from_secs(41)).await;
        assert_eq!(allowed(&auth_throttle, "192.0.2.1", 1_000), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_64_is_one_source() {
        let auth_throttle = AuthFailureThrottle::default();
        for host in 0..5_000 {
            fail(&auth_throttle, &format!("2001:db8::{host:x}"), 1);
        }
        assert!(allowed(&auth_throttle, "2001:db8::ffff:1", 1_000) < 500);
        assert_eq!(allowed(&auth_throttle, "2001:db8:0:1::1", 1_000), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_a_tracked_address_keeps_its_count() {
        let auth_throttle = AuthFailureThrottle::default();
        for host in 0..3 * u32::try_from(MAX_TRACKED).unwrap() {
            auth_throttle.record_failure(std::net::Ipv4Addr::from_bits(host).into());
        }
        assert_eq!(auth_throttle.0.lock().by_source.len(), MAX_TRACKED);
        assert_eq!(allowed(&auth_throttle, "0.0.0.1", 1_000), 1_000);
        tokio::time::advance(Duration::from_mins(1)).await;
        fail(&auth_throttle, "192.0.2.1", 1);
        assert!(auth_throttle.0.lock().by_source.len() < 10);
    }
}
