//! A fake of what the store knows of keys and requests, which fills itself from what the audit log takes.

use std::sync::Mutex;

use async_trait::async_trait;

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Place, Resource},
        audit::{Entry, EventId},
        history::{Known, Retention, Sighting, Survey},
        request::{KeptRequest, OwnId, REMEMBERED, RequestStep},
        time::Timestamp,
    },
    ports::{KeepHistory, KeyHistory, RequestRecords, Unavailable},
};

/// Keeps what it is told in memory.
#[derive(Debug, Default)]
pub struct FakeHistory {
    known: Mutex<Vec<Known>>,
    surveys: Mutex<Vec<Survey>>,
    requests: Mutex<Vec<(OwnId, Timestamp, KeptRequest)>>,
    fails: Mutex<bool>,
}

// === impl FakeHistory ===

impl FakeHistory {
    /// Does not answer from now on, or does again.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn fail(&self, fails: bool) {
        *self.fails.lock().unwrap() = fails;
    }

    fn answers(&self) -> Result<(), Unavailable> {
        let fails = *self.fails.lock().unwrap();
        if fails { Err(Unavailable { dependency: "history", source: None }) } else { Ok(()) }
    }

    /// What an entry makes true.
    pub(super) fn take(&self, event: EventId, entry: &Entry) {
        if let Some(sighting) = &entry.sighting {
            self.see(sighting, None);
        }
        if let Some(record) = &entry.association {
            let sighting = Sighting {
                resource: record.resource.clone(),
                key: record.key.clone(),
                seen: record.accepted,
                created: None,
                retention: Retention::NotKnown,
            };
            self.see(&sighting, Some(record.accepted));
        }
        match &entry.request {
            None => {}
            Some(RequestStep::Begun { id, fingerprint, at, running_until }) => {
                let kept = KeptRequest {
                    fingerprint: fingerprint.clone(),
                    intent: event,
                    outcome: None,
                    running_until: *running_until,
                    end: None,
                };
                let mut all = self.requests.lock().unwrap();
                all.retain(|(known, expires, _)| known != id && expires > at);
                all.push((id.clone(), at.plus(REMEMBERED), kept));
            }
            Some(RequestStep::Ended { intent, end }) => {
                let mut all = self.requests.lock().unwrap();
                if let Some((_, _, kept)) = all.iter_mut().find(|(_, _, kept)| kept.intent == *intent) {
                    kept.end = Some(end.clone());
                    kept.outcome = Some(event);
                }
            }
        }
    }

    fn see(&self, sighting: &Sighting, accepted: Option<Timestamp>) {
        let mut all = self.known.lock().unwrap();
        let at = all.iter().position(|known| known.resource == sighting.resource);
        let before = at.map(|at| all.remove(at));
        let mut known = Known::with(before, sighting);
        if known.seen == sighting.seen {
            known.accepted = accepted.or(known.accepted);
        }
        all.push(known);
        all.sort_by_key(|known| known.resource.to_string());
    }
}

#[async_trait]
impl KeyHistory for FakeHistory {
    async fn known(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable> {
        self.answers()?;
        let all = self.known.lock().unwrap();
        Ok(all.iter().filter(|known| resources.contains(&known.resource)).cloned().collect())
    }

    async fn touched(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<Known>, Unavailable> {
        self.answers()?;
        let after = after.map(ToString::to_string).unwrap_or_default();
        let all = self.known.lock().unwrap();
        let touched = all.iter().filter(|known| {
            known.key.as_ref() == Some(key) || known.former.iter().any(|former| former.key == *key)
        });
        let rest = touched.filter(|known| known.resource.to_string() > after);
        Ok(rest.take(usize::try_from(limit).unwrap()).cloned().collect())
    }

    async fn surveys(&self, places: &[Place]) -> Result<Vec<Survey>, Unavailable> {
        self.answers()?;
        let all = self.surveys.lock().unwrap();
        Ok(all.iter().filter(|survey| places.contains(&survey.place)).cloned().collect())
    }
}

#[async_trait]
impl KeepHistory for FakeHistory {
    async fn keep(&self, seen: &[Sighting]) -> Result<(), Unavailable> {
        self.answers()?;
        for sighting in seen {
            self.see(sighting, None);
        }
        Ok(())
    }

    async fn surveyed(&self, survey: &Survey) -> Result<(), Unavailable> {
        self.answers()?;
        let mut all = self.surveys.lock().unwrap();
        let first = all.iter().find(|it| it.place == survey.place).map_or(survey.first, |it| it.first);
        all.retain(|it| it.place != survey.place);
        all.push(Survey { first, ..survey.clone() });
        let mut known = self.known.lock().unwrap();
        for it in known.iter_mut().filter(|it| it.resource.place == survey.place && it.seen < survey.last) {
            it.gone = it.gone.or(Some(survey.last));
        }
        Ok(())
    }
}

#[async_trait]
impl RequestRecords for FakeHistory {
    async fn find(&self, id: &OwnId, now: Timestamp) -> Result<Option<KeptRequest>, Unavailable> {
        self.answers()?;
        let all = self.requests.lock().unwrap();
        let found = all.iter().find(|(known, expires, _)| known == id && *expires > now);
        Ok(found.map(|(_, _, kept)| kept.clone()))
    }
}
