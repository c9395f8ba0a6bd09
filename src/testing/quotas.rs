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
    domain::{audit::Via, authorization::Access},
    ports::{
        Answered, UpstreamError,
        quotas::{Granted, Quotas},
    },
};

/// Answers what it was told to, in this order, and grants nothing after that.
#[derive(Debug, Default)]
pub struct FakeQuotas {
    answers: Mutex<VecDeque<Result<Granted, UpstreamError>>>,
    asked: Mutex<Vec<String>>,
    held: Mutex<bool>,
    released: Notify,
    under_way: AtomicUsize,
}

// === impl FakeQuotas ===

impl FakeQuotas {
    /// Answers the next question with this.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn answer(&self, answer: Result<Granted, UpstreamError>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Answers nothing from now on, or does again.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_waiters();
    }

    /// Who asked, as role and Region.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Questions without an answer yet.
    pub fn under_way(&self) -> usize {
        self.under_way.load(SeqCst)
    }
}

#[async_trait]
impl Quotas for FakeQuotas {
    async fn granted(&self, access: &Access, _: Instant) -> Answered<Granted> {
        let who = format!("{} in {}", access.grant().role, access.place().region);
        self.asked.lock().unwrap().push(who);
        self.under_way.fetch_add(1, SeqCst);
        loop {
            let released = self.released.notified();
            let held = *self.held.lock().unwrap();
            if !held {
                break;
            }
            released.await;
        }
        self.under_way.fetch_sub(1, SeqCst);
        let result = self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(Granted::default()));
        Answered { via: Via::default(), result }
    }
}
