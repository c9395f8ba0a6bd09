//! What is known of a call so far, for its audit events: filled as the use case learns, and recorded
//! at each of its ends.

use std::sync::Arc;

use super::{Dependencies, Error};
use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    association::{Justification, Resource},
    audit::{AwsCallRecord, Completion, DecisionRecord, Event, EventId, Kind},
    authorization::Denial,
    call::Call,
    error_chain::error_chain,
    principal::Principal,
};

/// The audit event of a call, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct AuditContext {
    call: Call,
    event: Event,
}

impl AuditContext {
    pub(super) fn new(ports: &Dependencies, call: &Call, principal: &Principal) -> Self {
        let event = Event::for_call(call, Some(principal), Kind::Refusal, ports.clock.now());
        Self { call: call.clone(), event }
    }

    pub(super) fn resource(&mut self, resource: &Resource) {
        self.event.resource = Some(resource.clone());
    }

    pub(super) fn requested(&mut self, key: &KmsKeyId) {
        self.event.keys.requested = Some(key.to_string().into());
    }

    pub(super) fn resolved(&mut self, key: &KmsKeyArn) {
        self.event.keys.resolved = Some(key.clone());
    }

    pub(super) fn previous(&mut self, key: Option<&KmsKeyArn>) {
        self.event.keys.previous = key.cloned();
    }

    pub(super) fn reason(&mut self, reason: Option<&Justification>) {
        self.event.reason = reason.map(|reason| reason.as_str().into());
    }

    pub(super) fn allowed(&mut self, policies: &[Arc<str>]) {
        self.event.decision = Some(DecisionRecord { allowed: true, policies: policies.to_vec() });
    }

    pub(super) fn denied(&mut self, denial: &Denial) {
        let policies = match denial {
            Denial::NotPermitted => Vec::new(),
            Denial::Forbidden { policies } | Denial::Undecided { policies } => policies.clone(),
        };
        self.event.decision = Some(DecisionRecord { allowed: false, policies });
    }

    /// What AWS was asked through; the request ids of several calls add up.
    pub(super) fn record_aws_call(&mut self, via: AwsCallRecord) {
        let mut ids = std::mem::take(&mut self.event.via.aws_request_ids);
        ids.extend(via.aws_request_ids);
        self.event.via = AwsCallRecord { aws_request_ids: ids, ..via };
    }

    /// What else is to be kept of it.
    pub(super) fn detail(&mut self, detail: &str) {
        self.event.detail = Some(detail.into());
    }

    /// Whether a role was assumed.
    pub(super) fn record_role(&self) -> bool {
        self.event.via.session_name.is_some()
    }

    /// The intent is durable; what follows closes it.
    pub(super) fn intended(&mut self, intent: EventId) {
        self.event.closes = Some(intent);
    }

    /// The event as it stands, as an intent.
    pub(super) fn intent(&self, ports: &Dependencies) -> Event {
        Event { kind: Kind::Intent, time: ports.clock.now(), ..self.event.clone() }
    }

    /// The event as it stands, with an end.
    pub(super) fn build_entry(&self, ports: &Dependencies, kind: Kind, failure: Option<&Error>) -> Event {
        let answer = failure.and_then(Error::aws_answer);
        let end = Completion {
            failure: failure.map(Error::reason),
            aws_error: answer.map(|answer| answer.code.clone()),
            latency: self.call.received.elapsed(),
        };
        let detail = answer
            .map(|answer| answer.message.clone())
            .or_else(|| failure.map(|error| error_chain(error).into()));
        let detail = detail.or_else(|| self.event.detail.clone());
        Event { kind, time: ports.clock.now(), end: Some(end), detail, ..self.event.clone() }
    }

    /// Records a refusal: nothing was changed.
    pub(super) fn record_refusal(&self, ports: &Dependencies, error: &Error) {
        ports.audit.record_best_effort(self.build_entry(ports, Kind::Refusal, Some(error)));
    }

    /// Records that a request was answered as the event says that it ended the first time.
    pub(super) fn record_replay(&self, ports: &Dependencies, event: EventId, error: Option<&Error>) {
        let kind = if error.is_some() { Kind::Refusal } else { Kind::Read };
        let detail = Some(format!("answered again as event {event} says").into());
        ports.audit.record_best_effort(Event { detail, ..self.build_entry(ports, kind, error) });
    }

    /// The requests to AWS that were made on the way to this.
    pub(super) fn merge(&mut self, other: Self) {
        let request_ids = &self.event.via.aws_request_ids;
        let mut via = other.event.via;
        via.aws_request_ids.retain(|id| !request_ids.contains(id));
        if via.session_name.is_some() {
            self.record_aws_call(via);
        }
    }

    /// The intent that is durable, if there is one.
    pub(super) fn intent_id(&self) -> Option<EventId> {
        self.event.closes
    }

    /// The key that was resolved, if one was.
    pub(super) fn key(&self) -> Option<&KmsKeyArn> {
        self.event.keys.resolved.as_ref()
    }

    /// Records a read that succeeded, with more that is known of it.
    pub(super) fn record_read_with(&self, ports: &Dependencies, detail: String) {
        let event = self.build_entry(ports, Kind::Read, None);
        ports.audit.record_best_effort(Event { detail: Some(detail.into()), ..event });
    }

    /// Records a read that succeeded.
    pub(super) fn read(&self, ports: &Dependencies) {
        ports.audit.record_best_effort(self.build_entry(ports, Kind::Read, None));
    }
}
