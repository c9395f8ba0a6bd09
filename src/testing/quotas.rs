//! A fake of Service Quotas, which counts how often it is asked, and by which roles.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{
    domain::{audit::AwsCallRecord, authorization::Access},
    ports::{
        AwsResponse, UpstreamError,
        quotas::{Quotas, ServiceQuotas},
    },
};

/// Answers what it was told to, in this order, and grants nothing after that.
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
    /// Answers the next question with this.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn answer(&self, answer: Result<ServiceQuotas, UpstreamError>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Answers nothing from now on, or does again.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn block(&self, blocked: bool) {
        *self.blocked.lock().unwrap() = blocked;
        self.released.notify_waiters();
    }

    /// Who asked, as role and Region.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn calls(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Questions without an answer yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }
}

#[async_trait]
impl Quotas for FakeQuotas {
    async fn fetch(&self, access: &Access, _: Instant) -> AwsResponse<ServiceQuotas> {
        let principal = format!("{} in {}", access.grant().role, access.location().region);
        self.requests.lock().unwrap().push(principal);
        self.in_flight.fetch_add(1, SeqCst);
        loop {
            let released = self.released.notified();
            let blocked = *self.blocked.lock().unwrap();
            if !blocked {
                break;
            }
            released.await;
        }
        self.in_flight.fetch_sub(1, SeqCst);
        let result = self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(ServiceQuotas::default()));
        AwsResponse { via: AwsCallRecord::default(), result }
    }
}
