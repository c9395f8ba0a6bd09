//! A fake of Service Quotas, which records the calls with their roles and Regions.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Instant,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    domain::{audit::AwsCallRecord, authorization::Access},
    ports::{
        AwsResponse, UpstreamError,
        quotas::{Quotas, ServiceQuotas},
    },
};

/// Returns the configured results in order, and no quotas after them.
#[derive(Debug, Default)]
pub struct FakeQuotas {
    answers: Mutex<VecDeque<Result<ServiceQuotas, UpstreamError>>>,
    requests: Mutex<Vec<String>>,
    blocked: Mutex<bool>,
    released: Notify,
    in_flight: AtomicUsize,
}

// === impl FakeQuotas ===

impl FakeQuotas {
    /// Adds the result of one call.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn answer(&self, answer: Result<ServiceQuotas, UpstreamError>) {
        self.answers.lock().push_back(answer);
    }

    /// Blocks every call, or lets the blocked calls continue.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn block(&self, blocked: bool) {
        *self.blocked.lock() = blocked;
        self.released.notify_waiters();
    }

    /// The calls so far, each as `ROLE in REGION`.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn calls(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    /// The number of calls without a response.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }
}

#[async_trait]
impl Quotas for FakeQuotas {
    async fn fetch(&self, access: &Access, _: Instant) -> AwsResponse<ServiceQuotas> {
        let call = format!("{} in {}", access.grant().role, access.location().region);
        self.requests.lock().push(call);
        self.in_flight.fetch_add(1, SeqCst);
        loop {
            let released = self.released.notified();
            let blocked = *self.blocked.lock();
            if !blocked {
                break;
            }
            released.await;
        }
        self.in_flight.fetch_sub(1, SeqCst);
        let result = self.answers.lock().pop_front().unwrap_or_else(|| Ok(ServiceQuotas::default()));
        AwsResponse { via: AwsCallRecord::default(), result }
    }
}
