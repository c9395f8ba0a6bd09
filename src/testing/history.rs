//! A fake of the key records and requests in the store, which [`super::FakeAudit`] fills.

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Location, Resource},
        audit::{EventId, JournalEntry},
        history::{KeyRecord, Observation, Retention, Scan},
        idempotency::{IDEMPOTENCY_WINDOW, IdempotencyKey, RecordedStep, RequestRecord},
        time::Timestamp,
    },
    ports::{IdempotencyStore, KeyHistoryReader, KeyHistoryWriter, Unavailable},
};

/// Keeps key records, scans and requests in memory.
#[derive(Debug, Default)]
pub struct FakeHistory {
    records: Mutex<Vec<KeyRecord>>,
    scans: Mutex<Vec<Scan>>,
    requests: Mutex<Vec<(IdempotencyKey, Timestamp, RequestRecord)>>,
    fails: Mutex<bool>,
}

// === impl FakeHistory ===

impl FakeHistory {
    /// Fails every further call, or stops failing.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn fail(&self, fails: bool) {
        *self.fails.lock() = fails;
    }

    fn check_available(&self) -> Result<(), Unavailable> {
        let fails = *self.fails.lock();
        if fails { Err(Unavailable { dependency: "history", source: None }) } else { Ok(()) }
    }

    /// Applies the state changes of an entry.
    pub(super) fn record(&self, event: EventId, entry: &JournalEntry) {
        if let Some(observation) = &entry.observation {
            self.apply(observation, None);
        }
        if let Some(record) = &entry.association {
            let observation = Observation {
                resource: record.resource.clone(),
                key: record.key.clone(),
                observed_at: record.accepted,
                created: None,
                retention: Retention::NotKnown,
            };
            self.apply(&observation, Some(record.accepted));
        }
        match &entry.request {
            None => {}
            Some(RecordedStep::Intent { id, fingerprint, at, running_until }) => {
                let record = RequestRecord {
                    fingerprint: fingerprint.clone(),
                    intent: event,
                    outcome: None,
                    running_until: *running_until,
                    end: None,
                };
                let mut all = self.requests.lock();
                all.retain(|(entry_id, expires, _)| entry_id != id && expires > at);
                all.push((id.clone(), at.plus(IDEMPOTENCY_WINDOW), record));
            }
            Some(RecordedStep::Outcome { intent, end }) => {
                let mut all = self.requests.lock();
                if let Some((_, _, record)) = all.iter_mut().find(|(_, _, record)| record.intent == *intent) {
                    record.end = Some(end.clone());
                    record.outcome = Some(event);
                }
            }
        }
    }

    fn apply(&self, observation: &Observation, acknowledged: Option<Timestamp>) {
        let mut all = self.records.lock();
        let at = all.iter().position(|record| record.resource == observation.resource);
        let before = at.map(|at| all.remove(at));
        let mut record = KeyRecord::observe(before, observation);
        if record.observed_at == observation.observed_at {
            record.accepted = acknowledged.or(record.accepted);
        }
        all.push(record);
        all.sort_by_key(|record| record.resource.to_string());
    }
}

#[async_trait]
impl KeyHistoryReader for FakeHistory {
    async fn records(&self, resources: &[Resource]) -> Result<Vec<KeyRecord>, Unavailable> {
        self.check_available()?;
        let all = self.records.lock();
        Ok(all.iter().filter(|record| resources.contains(&record.resource)).cloned().collect())
    }

    async fn resources_with_key(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, Unavailable> {
        self.check_available()?;
        let after = after.map(ToString::to_string).unwrap_or_default();
        let all = self.records.lock();
        let matching = all.iter().filter(|record| {
            record.key.as_ref() == Some(key) || record.former.iter().any(|former| former.key == *key)
        });
        let rest = matching.filter(|record| record.resource.to_string() > after);
        Ok(rest.take(usize::try_from(limit).unwrap()).cloned().collect())
    }

    async fn newest(&self, location: &Location) -> Result<Option<Timestamp>, Unavailable> {
        self.check_available()?;
        let all = self.records.lock();
        let there = all.iter().filter(|record| record.resource.location == *location);
        Ok(there.map(|record| record.observed_at).max())
    }

    async fn scans(&self, locations: &[Location]) -> Result<Vec<Scan>, Unavailable> {
        self.check_available()?;
        let all = self.scans.lock();
        Ok(all.iter().filter(|scan| locations.contains(&scan.location)).cloned().collect())
    }
}

#[async_trait]
impl KeyHistoryWriter for FakeHistory {
    async fn upsert(&self, observations: &[Observation]) -> Result<(), Unavailable> {
        self.check_available()?;
        for observation in observations {
            self.apply(observation, None);
        }
        Ok(())
    }

    async fn record_scan(&self, scan: &Scan) -> Result<(), Unavailable> {
        self.check_available()?;
        let mut all = self.scans.lock();
        let first = all.iter().find(|it| it.location == scan.location).map_or(scan.first, |it| it.first);
        all.retain(|it| it.location != scan.location);
        all.push(Scan { first, ..scan.clone() });
        let mut records = self.records.lock();
        for it in records
            .iter_mut()
            .filter(|it| it.resource.location == scan.location && it.observed_at < scan.last)
        {
            it.deleted_at = it.deleted_at.or(Some(scan.last));
        }
        Ok(())
    }
}

#[async_trait]
impl IdempotencyStore for FakeHistory {
    async fn find(&self, id: &IdempotencyKey, now: Timestamp) -> Result<Option<RequestRecord>, Unavailable> {
        self.check_available()?;
        let all = self.requests.lock();
        let found = all.iter().find(|(entry_id, expires, _)| entry_id == id && *expires > now);
        Ok(found.map(|(_, _, record)| record.clone()))
    }
}
