//! The audit event of a call. The use case fills it step by step, and records it when the call ends.

use std::{sync::Arc, time::Instant};

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Justification, Resource},
        audit::{AwsCallRecord, Completion, DecisionRecord, Event, EventId, Kind},
        authorization::Denial,
        call::Call,
        error_chain::error_chain,
        fleet::JobId,
        principal::Principal,
    },
    service::{error::Error, state::Dependencies},
};

/// The audit event of a call, as far as it is filled.
#[derive(Clone, Debug)]
pub(in crate::service) struct AuditContext {
    received: Instant,
    event: Event,
}

impl AuditContext {
    pub(in crate::service) fn new(ports: &Dependencies, call: &Call, principal: &Principal) -> Self {
        let event = Event::for_call(call, Some(principal), Kind::Refusal, ports.clock.now());
        Self { received: call.received, event }
    }

    pub(in crate::service) fn resource(&mut self, resource: &Resource) {
        self.event.resource = Some(resource.clone());
    }

    pub(in crate::service) fn job(&mut self, job: JobId) {
        self.event.job = Some(job);
    }

    pub(in crate::service) fn requested(&mut self, key: &KmsKeyId) {
        self.event.keys.requested = Some(key.to_string().into());
    }

    pub(in crate::service) fn resolved(&mut self, key: &KmsKeyArn) {
        self.event.keys.resolved = Some(key.clone());
    }

    pub(in crate::service) fn previous(&mut self, key: Option<&KmsKeyArn>) {
        self.event.keys.previous = key.cloned();
    }

    pub(in crate::service) fn reason(&mut self, reason: Option<&Justification>) {
        self.reason_text(reason.map(Justification::as_str));
    }

    pub(in crate::service) fn reason_text(&mut self, reason: Option<&str>) {
        self.event.reason = reason.map(Into::into);
    }

    pub(in crate::service) fn allowed(&mut self, policies: &[Arc<str>]) {
        self.event.decision = Some(DecisionRecord { allowed: true, policies: policies.to_vec() });
    }

    pub(in crate::service) fn denied(&mut self, denial: &Denial) {
        let policies = match denial {
            Denial::NotPermitted => Vec::new(),
            Denial::Forbidden { policies } | Denial::Undecided { policies } => policies.clone(),
        };
        self.event.decision = Some(DecisionRecord { allowed: false, policies });
    }

    /// Adds a call to AWS. Its role and session replace the earlier ones, and its request ids are appended.
    pub(in crate::service) fn record_aws_call(&mut self, via: AwsCallRecord) {
        if via == AwsCallRecord::default() {
            // A call without a response has no role. The role of the earlier calls stays.
            return;
        }
        let mut ids = std::mem::take(&mut self.event.via.aws_request_ids);
        ids.extend(via.aws_request_ids);
        self.event.via = AwsCallRecord { aws_request_ids: ids, ..via };
    }

    /// Adds a free-text detail.
    pub(in crate::service) fn detail(&mut self, detail: &str) {
        self.event.detail = Some(detail.into());
    }

    /// Whether the service assumed a role in this call.
    pub(in crate::service) fn has_assumed_role(&self) -> bool {
        self.event.via.session_name.is_some()
    }

    /// Sets the intent, which is durable now. The next event closes it.
    pub(in crate::service) fn intended(&mut self, intent: EventId) {
        self.event.closes = Some(intent);
    }

    /// The event as an intent.
    pub(in crate::service) fn intent(&self, ports: &Dependencies) -> Event {
        Event { kind: Kind::Intent, time: ports.clock.now(), ..self.event.clone() }
    }

    /// The event with its result.
    pub(in crate::service) fn build_entry(
        &self,
        ports: &Dependencies,
        kind: Kind,
        failure: Option<&Error>,
    ) -> Event {
        let answer = failure.and_then(Error::aws_answer);
        let end = Completion {
            failure: failure.map(Error::reason),
            aws_error: answer.map(|answer| answer.code.clone()),
            latency: self.received.elapsed(),
        };
        let detail = answer
            .map(|answer| answer.message.clone())
            .or_else(|| failure.map(|error| error_chain(error).into()));
        let detail = detail.or_else(|| self.event.detail.clone());
        Event { kind, time: ports.clock.now(), end: Some(end), detail, ..self.event.clone() }
    }

    /// Records a refusal. Nothing was changed.
    pub(in crate::service) fn record_refusal(&self, ports: &Dependencies, error: &Error) {
        ports.audit.record_best_effort(self.build_entry(ports, Kind::Refusal, Some(error)));
    }

    /// Records the replay of the response to the first request, whose outcome is `event`.
    pub(in crate::service) fn record_replay(
        &self,
        ports: &Dependencies,
        event: EventId,
        error: Option<&Error>,
    ) {
        let kind = if error.is_some() { Kind::Refusal } else { Kind::Read };
        let detail = Some(format!("replayed the response that event {event} records").into());
        ports.audit.record_best_effort(Event { detail, ..self.build_entry(ports, kind, error) });
    }

    /// Adds the calls to AWS of another audit context of the same call.
    pub(in crate::service) fn merge(&mut self, other: Self) {
        let request_ids = &self.event.via.aws_request_ids;
        let mut via = other.event.via;
        via.aws_request_ids.retain(|id| !request_ids.contains(id));
        if via.session_name.is_some() {
            self.record_aws_call(via);
        }
    }

    /// The id of the durable intent, if there is one.
    pub(in crate::service) fn intent_id(&self) -> Option<EventId> {
        self.event.closes
    }

    /// The resolved key, if there is one.
    pub(in crate::service) fn key(&self) -> Option<&KmsKeyArn> {
        self.event.keys.resolved.as_ref()
    }

    /// Records a read that succeeded, with a detail.
    pub(in crate::service) fn record_read_with(&self, ports: &Dependencies, detail: String) {
        let event = self.build_entry(ports, Kind::Read, None);
        ports.audit.record_best_effort(Event { detail: Some(detail.into()), ..event });
    }

    /// Records a read that succeeded.
    pub(in crate::service) fn read(&self, ports: &Dependencies) {
        ports.audit.record_best_effort(self.build_entry(ports, Kind::Read, None));
    }
}
