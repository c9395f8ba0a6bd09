//! The changes whose end is not known, read back from the log so that they can be settled.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;

use super::{event::settled_as, view::View};
use crate::{
    domain::{
        association::{Place, Resource, Target},
        audit::{Act, Actor, Event, EventId, Keys, Kind, Settlement},
        call::Action,
        time::Timestamp,
    },
    ports::{EventFilter, EventReader, OpenChange, OpenChanges, StoredEvent, Unavailable},
};

/// `metadata.event_code` of what settles a change.
const SETTLED: &str = "settled";
/// Most events of one call among which it is looked for; a call has a handful.
const MOST: u32 = 1000;

/// Finds them in the log.
pub struct Opened {
    log: Arc<dyn EventReader>,
}

// === impl Opened ===

impl Opened {
    /// Over this log.
    #[must_use]
    pub fn new(log: Arc<dyn EventReader>) -> Self {
        Self { log }
    }
}

#[async_trait]
impl OpenChanges for Opened {
    async fn open(&self, before: Timestamp) -> Result<Vec<OpenChange>, Unavailable> {
        let found = self.log.unsettled(before).await?;
        let mut open = Vec::with_capacity(found.len());
        for stored in &found {
            match change(stored) {
                Some(change) => open.push(change),
                None => {
                    tracing::error!(audit.seq = stored.seq, "an intent of the audit log cannot be read");
                }
            }
        }
        Ok(open)
    }

    async fn begun(&self, intent: EventId) -> Result<Option<OpenChange>, Unavailable> {
        Ok(self.log.find(intent).await?.as_ref().and_then(change))
    }

    async fn settled(&self, change: &OpenChange) -> Result<Option<(Settlement, EventId)>, Unavailable> {
        let filter = EventFilter {
            correlation: Some(change.event.correlation.as_str().to_owned()),
            ..EventFilter::default()
        };
        let intent = change.intent.to_string();
        let settles = |event: &StoredEvent| {
            let view = View::try_from(event).ok().filter(|view| view.closes.as_ref() == Some(&intent))?;
            let settlement = settled_as(view.outcome.as_deref()?).filter(|_| view.kind == SETTLED)?;
            Some((settlement, event.id))
        };
        Ok(self.log.list(&filter, None, MOST).await?.iter().find_map(settles))
    }
}

/// The intent as it was recorded; none where its bytes are not those of one.
fn change(stored: &StoredEvent) -> Option<OpenChange> {
    let view = View::try_from(stored).ok()?;
    let place = Place { account: parsed(view.account.as_ref())?, region: parsed(view.region.as_ref())? };
    let target = match &view.log_group {
        Some(name) => Target::LogGroup(name.parse().ok()?),
        None => Target::QueryResults,
    };
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    let event = Event {
        kind: Kind::Intent,
        act: Act::Rpc(Action::named(&view.action)),
        correlation: view.correlation.parse().ok()?,
        actor: Actor {
            tenant: parsed(view.tenant.as_ref()),
            subject: text(&view.subject),
            issuer: text(&view.issuer),
            token_id: text(&view.token_id),
            source: None,
            unverified_user_agent: None,
        },
        resource: Some(Resource { place, target }),
        keys: Keys {
            requested: view.requested_key.map(Into::into),
            resolved: parsed(view.resolved_key.as_ref()),
            previous: parsed(view.previous_key.as_ref()),
        },
        ..Event::of_service(Act::Start, view.time)
    };
    Some(OpenChange { intent: EventId(view.id.parse().ok()?), event })
}

fn parsed<T: FromStr>(text: Option<&String>) -> Option<T> {
    text?.parse().ok()
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}
