//! What is known of a resource before it is changed: which key it has, which it had, and what that
//! means once the change is made.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;

use super::{Changed, Error, KeyBroker, history::sighting, trail::Trail, warn};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{KeyAssociation, Resource, Source, State, Target},
        authorization::Access,
        call::Call,
        history::{FormerKey, Known, Retention, Sighting},
        key::KeyHealth,
        principal::Principal,
        time::Timestamp,
    },
    ports::LogGroup,
};

/// How long what is known of a log group counts as good enough not to look again before its key is
/// replaced: AWS forgets former keys, so that a look at that moment is the last that can be had.
const FRESH: Duration = Duration::from_hours(1);
/// How long a look may take that only helps.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much a change needs to know of what it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It cannot be made without.
    Certain,
    /// It is made all the same where AWS does not tell, and then the answer says so.
    Helpful,
}

/// What is known of a resource before it is changed.
#[derive(Debug)]
pub(super) struct Before {
    /// As AWS has it, where it was looked at.
    pub(super) group: Option<LogGroup>,
    /// What the look showed, to be kept with the intent.
    pub(super) sighting: Option<Sighting>,
    known: Option<Known>,
    results_have_key: bool,
    /// Of former keys.
    health: Vec<(KmsKeyArn, KeyHealth, Option<Timestamp>)>,
}

impl KeyBroker {
    /// Finds out what is known. Whoever calls it holds the resource.
    pub(super) async fn before(
        &self,
        (call, who): (&Call, &Principal),
        access: &Access,
        resource: &Resource,
        need: Need,
        trail: &mut Trail,
    ) -> Result<Before, Error> {
        let results = Resource { target: Target::QueryResults, ..resource.clone() };
        let (mut known, mut results_have_key) = (None, false);
        for it in self.known(&[resource.clone(), results]).await {
            if it.resource.target == Target::QueryResults {
                results_have_key = it.key.is_some();
            }
            if it.resource == *resource {
                known = Some(it);
            }
        }
        let now = self.ports.clock.now();
        let group = match (need, &resource.target) {
            (Need::Certain, _) => self.look_before(call, access, resource, trail).await?,
            (Need::Helpful, Target::LogGroup(name))
                if !known.as_ref().is_some_and(|it| is_fresh(it, now)) =>
            {
                let soon = tokio::time::Instant::now().into_std() + PATIENCE;
                let deadline: Instant = soon.min(call.deadline);
                let look = AssertUnwindSafe(self.find_log_group(access, name, deadline, trail));
                // What only helps fails nothing, however it ends.
                let found = look.catch_unwind().await.unwrap_or(Err(Error::Internal("a look panicked")));
                found.inspect_err(|error| tracing::debug!(%error, "a key is set without a look before")).ok()
            }
            (Need::Helpful, _) => None,
        };
        let sighting = match (need, &resource.target) {
            (Need::Certain, Target::QueryResults) => {
                self.results_before(call, who, access, known.as_ref(), trail).await
            }
            (Need::Certain | Need::Helpful, _) => {
                group.as_ref().map(|group| sighting(access.place(), group, now))
            }
        };
        if let Some(sighting) = &sighting {
            known = Some(Known::with(known, sighting));
        }
        trail.previous(known.as_ref().and_then(|known| known.key.as_ref()));
        self.forget_seen(resource);
        Ok(Before { group, sighting, known, results_have_key, health: Vec::new() })
    }

    /// Looks at the keys that `change` makes former ones, and at those before them.
    pub(super) async fn with_former_health(
        &self,
        call: &Call,
        access: &Access,
        before: Before,
        new: Option<&KmsKeyArn>,
    ) -> Before {
        let Some(known) = &before.known else { return before };
        let former = replaced(known, new, self.ports.clock.now()).former;
        let keys: Vec<KmsKeyArn> = former.into_iter().map(|former| former.key).collect();
        let soon = tokio::time::Instant::now().into_std() + PATIENCE;
        let health = self.healths(access, keys, soon.min(call.deadline)).await;
        let health = health.into_iter().map(|(key, (health, deletion))| (key, health, deletion));
        Before { health: health.collect(), ..before }
    }
}

/// Whether nobody is likely to have changed it elsewhere since.
fn is_fresh(known: &Known, now: Timestamp) -> bool {
    known.gone.is_none() && now < known.seen.plus(FRESH)
}

/// What a change leaves behind.
struct Replaced {
    previous: Option<KmsKeyArn>,
    retention: Retention,
    former: Vec<FormerKey>,
}

fn replaced(known: &Known, new: Option<&KmsKeyArn>, at: Timestamp) -> Replaced {
    let change = Sighting {
        resource: known.resource.clone(),
        key: new.cloned(),
        seen: at,
        created: None,
        retention: Retention::NotKnown,
    };
    let after = Known::with(Some(known.clone()), &change);
    Replaced { previous: known.key.clone(), retention: known.retention, former: after.former_keys(at) }
}

// === impl Before ===

impl Before {
    /// The key that is in force, as far as is known.
    pub(super) fn key(&self) -> Option<&KmsKeyArn> {
        self.known.as_ref()?.key.as_ref()
    }

    /// The answer to the change: `accepted` is when AWS took it, and none where it was not made.
    pub(super) fn changed(
        self,
        resource: Resource,
        key: Option<(KmsKeyArn, KmsKeyId)>,
        accepted: Option<Timestamp>,
        now: Timestamp,
        aws_request_id: Box<str>,
    ) -> Changed {
        let Self { group, sighting: _, known, results_have_key, health } = self;
        let (key, requested_key) = key.map_or((None, None), |(key, requested)| (Some(key), Some(requested)));
        let Replaced { previous, retention, mut former } = match &known {
            Some(known) => replaced(known, key.as_ref(), now),
            None => Replaced { previous: None, retention: Retention::NotKnown, former: Vec::new() },
        };
        for former in &mut former {
            if let Some((_, health, deletion)) = health.iter().find(|(key, ..)| *key == former.key) {
                (former.health, former.deletion) = (*health, *deletion);
            }
        }
        let association = KeyAssociation {
            resource,
            // AWS takes no key that CloudWatch Logs cannot use at that moment.
            health: if key.is_some() && accepted.is_some() {
                KeyHealth::Usable
            } else {
                KeyHealth::NotChecked
            },
            key,
            requested_key,
            previous_key: previous,
            state: if accepted.is_some() { State::Settling } else { State::Unknown },
            accepted,
            key_deletion: None,
            class: group.and_then(|group| group.class),
            retention: retention.length(),
            former,
            source: if accepted.is_some() { Source::Recorded } else { Source::Live },
        };
        // That query results were never set through this service is not that they have no key.
        let known = known.is_some() || association.resource.target == Target::QueryResults;
        let warnings = warn::changed(&association, warn::Circumstances { known, results_have_key });
        Changed { association, event: None, aws_request_id, warnings }
    }
}
