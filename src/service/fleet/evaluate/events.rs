//! Applies the rules to log groups that AWS reports as new or changed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::evaluation::Evaluation;
use crate::{
    domain::{
        association::{Resource, Target},
        log_group_change::LogGroupChange,
        tenant::{Tenant, TenantId},
    },
    ports::{
        Unavailable,
        group_events::{GroupEvents, GroupEventsError, GroupMessage, Receipt},
    },
    service::{fleet::ports::Fleet, state::ServiceState},
};

/// The wait after an error of the store or of AWS. The queue delivers the messages again meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The outcome of an event about a change of this process in metrics.
const OWN_CHANGE: &str = "own_change";

/// Applies the rules to log groups that AWS reports as new or changed. A process has one instance.
pub struct EventConsumer {
    state: Arc<ServiceState>,
    fleet: Fleet,
    queue: Arc<dyn GroupEvents>,
}

/// A change with the receipt of its message.
struct Received {
    change: LogGroupChange,
    receipt: Receipt,
}

// === impl EventConsumer ===

impl EventConsumer {
    /// Creates a consumer of this queue.
    #[must_use]
    pub fn new(state: Arc<ServiceState>, fleet: Fleet, queue: Arc<dyn GroupEvents>) -> Self {
        Self { state, fleet, queue }
    }

    /// Runs until the service stops. A message that is being handled then comes again.
    pub async fn run(self, stopping: CancellationToken) {
        for outcome in ["change", OWN_CHANGE, "unreadable"] {
            metrics::counter!("logkey_group_events_total", "outcome" => outcome).absolute(0);
        }
        for error in GroupEventsError::LABELS {
            metrics::counter!("logkey_group_event_errors_total", "error" => error).absolute(0);
        }
        let receive = async {
            loop {
                match self.queue.receive().await {
                    Ok(messages) => self.handle(messages).await,
                    Err(error) => {
                        metrics::counter!("logkey_group_event_errors_total", "error" => error.label())
                            .increment(1);
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the event queue cannot be read; the next attempt follows");
                    }
                }
            }
        };
        tokio::select! {
            () = receive => {}
            () = stopping.cancelled() => {}
        }
    }

    /// Handles messages, and deletes those whose change is recorded.
    async fn handle(&self, messages: Vec<GroupMessage>) {
        let (mut received, mut done) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                GroupMessage::Change { change, receipt, .. } if self.is_own(&change) => {
                    count(OWN_CHANGE);
                    done.push(receipt);
                }
                GroupMessage::Change { change, receipt, sent } => {
                    count("change");
                    if let Some(sent) = sent {
                        let lag = self.state.ports.clock.now().since(sent);
                        metrics::histogram!("logkey_group_event_lag_seconds").record(lag.as_secs_f64());
                    }
                    received.push(Received { change: *change, receipt });
                }
                GroupMessage::Irrelevant { reason, receipt } => {
                    count(reason.label());
                    done.push(receipt);
                }
                GroupMessage::Unreadable(message) => {
                    count("unreadable");
                    tracing::error!(
                        message_id = &*message.message_id,
                        receive_count = message.receive_count,
                        error = &message.reason as &dyn std::error::Error,
                        "a message of the event queue cannot be read; the dead-letter queue gets it after its last delivery"
                    );
                }
            }
        }
        match self.apply(&received).await {
            Ok(()) => done.extend(received.into_iter().map(|received| received.receipt)),
            Err(error) => {
                warn(&error);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        if !done.is_empty()
            && let Err(error) = self.queue.delete(&done).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "messages of the event queue were not deleted; they come again");
        }
    }

    /// Whether a rule made the change in this process. The resource is read after the end of its job, so the event says
    /// nothing new. Only this process and AWS know the id of the call, so a change by anyone else is never mistaken for
    /// one: <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>.
    fn is_own(&self, change: &LogGroupChange) -> bool {
        change.request_id.as_ref().is_some_and(|id| self.fleet.rule_calls.lock().contains(id))
    }

    /// Evaluates the changed resources by the rules of every tenant that may see them.
    async fn apply(&self, received: &[Received]) -> Result<(), Unavailable> {
        if received.is_empty() {
            return Ok(());
        }
        let tenants = self.state.ports.rules.current().tenants().all();
        let mut concerned: HashMap<TenantId, Vec<&LogGroupChange>> = HashMap::new();
        for tenant in &tenants {
            let changes: Vec<&LogGroupChange> = received
                .iter()
                .map(|received| &received.change)
                .filter(|change| is_granted(tenant, &change.resource))
                .collect();
            if !changes.is_empty() {
                concerned.insert(tenant.id.clone(), changes);
            }
        }
        for (tenant, changes) in concerned {
            let Some(mut evaluation) = Evaluation::load(&self.fleet, &self.state, &tenant).await? else {
                continue;
            };
            for change in &changes {
                let actor = change.actor.name().into();
                evaluation.changed_by.insert(change.resource.clone(), actor);
            }
            let is_selected = |resource: &&Resource| {
                evaluation.rules.iter().any(|rule| {
                    rule.definition.selection.includes(&resource.location)
                        && rule.definition.selects(&resource.target)
                })
            };
            let resources = changes.iter().map(|change| &change.resource).filter(is_selected);
            let resources: Vec<Resource> = resources.cloned().collect();
            if !resources.is_empty() {
                evaluation.run_resources(&resources, true).await?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for EventConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventConsumer").finish_non_exhaustive()
    }
}

fn warn(error: &Unavailable) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "events of log groups could not be handled; the queue delivers them again");
}

/// Whether the tenant may see the resource.
fn is_granted(tenant: &Tenant, resource: &Resource) -> bool {
    let Resource { location, target } = resource;
    tenant.grant(location.account).is_some_and(|grant| {
        grant.allows_region(&location.region)
            && match target {
                Target::LogGroup(name) => grant.allows_log_group(name),
                Target::QueryResults => grant.query_results,
            }
    })
}

fn count(outcome: &'static str) {
    metrics::counter!("logkey_group_events_total", "outcome" => outcome).increment(1);
}
