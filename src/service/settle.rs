//! Settles changes whose end is not known, by reading back what AWS now says: after a crash, and after
//! an answer that never came. Run beside the calls; a change that cannot be looked at yet stays open.

use std::time::Duration;

use super::{KeyBroker, change::feedback};
use crate::{
    domain::{
        association::{GetKeyAssociation, LogGroupName, RecordedAssociation, Resource, Target},
        audit::{Act, Actor, End, Entry, Event, Kind, Settlement},
        authorization::Authorized,
        call::{Action, Call, RequestId},
        principal::{PolicyClaims, Principal, Scopes},
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
    /// AWS does not say now; to be asked again.
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
            match self.look_back(&change.event).await {
                Found::Settled(settlement) => self.record_settled(change, settlement).await,
                Found::NotNow => tracing::warn!(
                    audit.intent = %change.intent,
                    "AWS does not say how a change ended; trying again"
                ),
            }
        }
    }

    async fn look_back(&self, intent: &Event) -> Found {
        let (Some(resource), Some(tenant)) = (&intent.resource, &intent.actor.tenant) else {
            return Found::Settled(Settlement::CannotTell);
        };
        // AWS has no call that tells the key of query results.
        let Target::LogGroup(name) = &resource.target else {
            return Found::Settled(Settlement::CannotTell);
        };
        let Some(tenant) = self.ports.tenants.find(tenant) else {
            return Found::Settled(Settlement::CannotTell);
        };
        let (call, who) = (call(), caller(intent, &tenant.id, self.ports.clock.now()));
        let command = GetKeyAssociation { resource: resource.clone() };
        let decided =
            Authorized::decide(|question| self.ports.policy.decide(question), &call, &who, &tenant, command);
        match decided {
            Ok(permit) => self.compare(&permit, name, intent, &call).await,
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
        let found = self.ports.log_groups.find(access, name, call.deadline).await.result;
        turn.used(feedback(&found));
        let sets = intent.act == Act::Rpc(Action::AssociateKmsKey);
        let wanted = intent.keys.resolved.as_ref().filter(|_| sets);
        match found {
            Ok(Some(group)) if group.key.as_ref() == wanted => Found::Settled(Settlement::InForce),
            Ok(Some(_)) => Found::Settled(Settlement::NotInForce),
            Ok(None) => Found::Settled(Settlement::CannotTell),
            Err(_) => Found::NotNow,
        }
    }

    async fn record_settled(&self, change: OpenChange, settlement: Settlement) {
        let OpenChange { intent, event: said } = change;
        let now = self.ports.clock.now();
        let association = match (settlement, &said.resource) {
            (Settlement::InForce, Some(resource)) => Some(in_force(resource, &said)),
            _ => None,
        };
        let end = End { failure: None, aws_error: None, latency: now.since(said.time) };
        let event = Event {
            kind: Kind::Settled(settlement),
            time: now,
            closes: Some(intent),
            end: Some(end),
            ..said
        };
        match self.ports.audit.commit(Entry { association, ..Entry::only(event) }).await {
            Ok(_event) => tracing::info!(audit.intent = %intent, ?settlement, "an open change was settled"),
            Err(error) => tracing::warn!(
                audit.intent = %intent,
                error = &error as &dyn std::error::Error,
                "what was found of an open change is not recorded; trying again"
            ),
        }
    }
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

/// A call of the service's own.
fn call() -> Call {
    let received = tokio::time::Instant::now().into_std();
    Call {
        request_id: RequestId::random(),
        action: Action::GetKeyAssociation,
        source: None,
        unverified_user_agent: None,
        received,
        deadline: received + PATIENCE,
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
