//! Settles changes whose end is not known, by reading back what AWS now says: after a crash, and after
//! an answer that never came. Run beside the calls; a change that cannot be looked at yet stays open.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    KeyBroker, Ports,
    change::feedback,
    history::sighting,
    replay::told,
    serial::Held,
    trail::Trail,
    verify::{Helps, Verified, Why},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{GetKeyAssociation, LogGroupName, RecordedAssociation, Resource, SETTLING, Target},
        audit::{Act, Actor, End, Entry, Event, EventId, Kind, Settlement},
        authorization::Authorized,
        call::{Action, Call, RequestId},
        principal::{PolicyClaims, Principal, Scopes},
        request::{Answer, RequestEnd, RequestStep},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        OpenChange, OpenChanges,
        limit::{Lane, Operation},
    },
};

/// How long one reading back may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is found of one change.
enum Found {
    /// This is so.
    Settled(Settlement),
    /// A query does not show it, and AWS may take that long to use another key.
    NotYet,
    /// AWS does not say now; to be asked again.
    NotNow,
}

/// What became of a change that was looked back at.
pub(super) enum Settled {
    /// It is in force.
    InForce {
        /// What its caller is told.
        answer: Answer,
        /// The event that says so.
        event: EventId,
    },
    /// It is not, or it cannot be told: making it again does no harm.
    NotInForce,
    /// AWS does not say now, or what it says could not be recorded.
    NotNow,
}

impl KeyBroker {
    /// Settles every change whose intent is from before this time, as far as AWS answers.
    pub async fn settle(&self, changes: &dyn OpenChanges, before: Timestamp) {
        let open = match changes.open(before).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "changes that may be open cannot be read; trying again"
                );
                return;
            }
        };
        for change in open {
            let intent = change.intent;
            let deadline = tokio::time::Instant::now().into_std() + PATIENCE;
            if matches!(self.settle_once(change, deadline, None).await, Settled::NotNow) {
                tracing::warn!(audit.intent = %intent, "how a change ended is not known yet; trying again");
            }
        }
    }

    /// Settles one change, where AWS says by then what became of it, for someone who would make it again:
    /// that does no harm, so that nothing is waited for which only time can show.
    pub(super) async fn settle_one(&self, change: OpenChange, deadline: Instant) -> Settled {
        self.settle_once(change, deadline, Some(Settlement::CannotTell)).await
    }

    /// Settles one change once, also where whoever asks for it again comes while it is looked back at after
    /// a crash. `early` is what is settled where only time can show; none to come back later.
    async fn settle_once(&self, change: OpenChange, deadline: Instant, early: Option<Settlement>) -> Settled {
        let Some(held) = self.settling.hold(&change.intent, deadline).await else { return Settled::NotNow };
        match self.ports.open.settled(&change).await {
            Ok(Some((settlement, event))) => return settled(&change.event, settlement, event),
            Ok(None) => {}
            Err(_unavailable) => return Settled::NotNow,
        }
        let found = match self.look_back(&change.event, deadline).await {
            Found::Settled(settlement) => Some(settlement),
            Found::NotYet => early,
            Found::NotNow => None,
        };
        match found {
            Some(settlement) => self.record_settled(change, settlement, held).await,
            None => Settled::NotNow,
        }
    }

    async fn look_back(&self, intent: &Event, deadline: Instant) -> Found {
        self.under(&self.in_force()).look_back_at(intent, deadline).await
    }

    async fn look_back_at(&self, intent: &Event, deadline: Instant) -> Found {
        let (Some(resource), Some(tenant)) = (&intent.resource, &intent.actor.tenant) else {
            return Found::Settled(Settlement::CannotTell);
        };
        let Some(tenant) = self.in_force().tenants().find(tenant) else {
            return Found::Settled(Settlement::CannotTell);
        };
        let (call, who) = (call(deadline), caller(intent, &tenant.id, self.ports.clock.now()));
        let command = GetKeyAssociation { resource: resource.clone() };
        let decided = Authorized::decide(|question| self.decide(question), &call, &who, &tenant, command);
        match decided {
            Ok(permit) => match &resource.target {
                Target::LogGroup(name) => self.compare(&permit, name, intent, &call).await,
                Target::QueryResults => self.compare_results(&permit, intent, &call, &who).await,
            },
            Err(_no_longer) => Found::Settled(Settlement::CannotTell),
        }
    }

    async fn compare(
        &self,
        permit: &Authorized<GetKeyAssociation>,
        name: &LogGroupName,
        intent: &Event,
        call: &Call,
    ) -> Found {
        let access = permit.access();
        let lane = Lane { place: access.place().clone(), operation: Operation::DescribeLogGroups };
        let Ok(turn) = self.ports.pace.turn(&lane, &access.tenant().id, call.deadline).await else {
            return Found::NotNow;
        };
        let at = self.ports.clock.now();
        let found = self.ports.log_groups.find(access, name, call.deadline).await.result;
        turn.used(feedback(&found));
        if let Ok(Some(group)) = &found {
            self.saw([sighting(access.place(), group, at)]);
        }
        match found {
            Ok(Some(group)) if group.key.as_ref() == wanted(intent) => Found::Settled(Settlement::InForce),
            Ok(Some(_)) => Found::Settled(Settlement::NotInForce),
            Ok(None) => Found::Settled(Settlement::CannotTell),
            Err(_) => Found::NotNow,
        }
    }

    /// The same for query results, as far as a query tells.
    async fn compare_results(
        &self,
        permit: &Authorized<GetKeyAssociation>,
        intent: &Event,
        call: &Call,
        who: &Principal,
    ) -> Found {
        let mut trail = Trail::new(&self.ports, call, who);
        let sighting = match self.verified(call, who, permit.access(), &mut trail).await {
            Verified::Shown(sighting) => sighting,
            Verified::Unknown(Why { helps: Helps::Time, .. }) => return Found::NotNow,
            // AWS has no call that tells the key of query results.
            Verified::Off | Verified::Unknown(_) => return Found::Settled(Settlement::CannotTell),
        };
        let in_force = sighting.key.as_ref() == wanted(intent);
        if !in_force && sighting.seen < intent.time.plus(SETTLING) {
            return Found::NotYet;
        }
        self.saw([sighting]);
        Found::Settled(if in_force { Settlement::InForce } else { Settlement::NotInForce })
    }

    /// Records it on a task of its own: whoever asked may go away, and until it is recorded nobody else is to
    /// find the change open.
    async fn record_settled(&self, change: OpenChange, settlement: Settlement, held: Held) -> Settled {
        let ports = Arc::clone(&self.ports);
        let recording = self.ports.tasks.spawn(async move {
            let recorded = record(&ports, change, settlement).await;
            drop(held);
            recorded
        });
        recording.await.unwrap_or(Settled::NotNow)
    }
}

async fn record(ports: &Ports, change: OpenChange, settlement: Settlement) -> Settled {
    let OpenChange { intent, event: said } = change;
    let now = ports.clock.now();
    let association = match (settlement, &said.resource) {
        (Settlement::InForce, Some(resource)) => Some(in_force(resource, &said)),
        _ => None,
    };
    let answer = answer(&said, settlement);
    let end = answer.clone().map_or(RequestEnd::Open, RequestEnd::Done);
    let request = Some(RequestStep::Ended { intent, end });
    let end = End { failure: None, aws_error: None, latency: now.since(said.time) };
    let event =
        Event { kind: Kind::Settled(settlement), time: now, closes: Some(intent), end: Some(end), ..said };
    match ports.audit.commit(Entry { association, request, ..Entry::only(event) }).await {
        Ok(event) => {
            tracing::info!(audit.intent = %intent, ?settlement, "an open change was settled");
            answer.map_or(Settled::NotInForce, |answer| Settled::InForce { answer, event })
        }
        Err(error) => {
            tracing::warn!(
                audit.intent = %intent,
                error = &error as &dyn std::error::Error,
                "what was found of an open change is not recorded; trying again"
            );
            Settled::NotNow
        }
    }
}

/// What its caller is told; none where it is not in force.
fn answer(intent: &Event, settlement: Settlement) -> Option<Answer> {
    let sets = intent.act == Act::Rpc(Action::AssociateKmsKey);
    (settlement == Settlement::InForce).then(|| told::settled(intent, sets))
}

/// What became of a change that was settled before.
fn settled(intent: &Event, settlement: Settlement, event: EventId) -> Settled {
    answer(intent, settlement).map_or(Settled::NotInForce, |answer| Settled::InForce { answer, event })
}

/// What the change made true, at the latest when it was asked for: AWS took it at some moment after.
fn in_force(resource: &Resource, intent: &Event) -> RecordedAssociation {
    let sets = intent.act == Act::Rpc(Action::AssociateKmsKey);
    RecordedAssociation {
        resource: resource.clone(),
        key: intent.keys.resolved.clone().filter(|_| sets),
        previous_key: intent.keys.previous.clone(),
        accepted: intent.time,
    }
}

/// The key that the change was to set; none where it was to take it away.
fn wanted(intent: &Event) -> Option<&KmsKeyArn> {
    let sets = intent.act == Act::Rpc(Action::AssociateKmsKey);
    intent.keys.resolved.as_ref().filter(|_| sets)
}

/// A call of the service's own.
fn call(deadline: Instant) -> Call {
    let received = tokio::time::Instant::now().into_std();
    Call {
        request_id: RequestId::random(),
        action: Action::GetKeyAssociation,
        source: None,
        unverified_user_agent: None,
        received,
        deadline,
    }
}

/// Whoever asked for the change, without any scope: policy says whether it may still be looked at.
fn caller(intent: &Event, tenant: &TenantId, now: Timestamp) -> Principal {
    let Actor { subject, issuer, token_id, .. } = intent.actor.clone();
    Principal {
        tenant: tenant.clone(),
        subject: subject.unwrap_or_default(),
        issuer: issuer.unwrap_or_default(),
        scopes: Scopes::default(),
        claims: PolicyClaims::default(),
        token_id: token_id.unwrap_or_default(),
        expires: now,
    }
}
