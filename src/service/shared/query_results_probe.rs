//! Finds the key that AWS uses for query results. If the account's grant enables it, a probe runs a query for
//! this purpose. Otherwise the service's own record is the only source.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;

use super::{
    audit_context::AuditContext,
    log_groups,
    upstream::{self, CallError},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{LogGroupName, PROPAGATION_DELAY, Resource, Source, Target},
        authorization::Access,
        history::{KeyRecord, Observation, Retention},
    },
    ports::{
        AwsResponse, LogGroup, Unavailable,
        aws::Refusal,
        limit::Operation,
        queries::{QueryId, QueryState},
    },
    service::{
        aws_message::aws_message,
        context::Context,
        error::{AwsCallError, Error},
        state::ServiceState,
    },
};

/// The maximum time for one probe, from finding a log group to the end of the query.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The share of the call's remaining time that the probe may take.
const BUDGET_SHARE: f64 = 0.75;
/// The wait before the first poll. Each further wait is twice as long.
const FIRST_POLL: Duration = Duration::from_millis(100);
/// The longest wait between two polls.
const MAX_POLL: Duration = Duration::from_secs(1);
/// The longest wait for a change in flight, after which the result of the query is discarded.
const MAX_PROPAGATION_WAIT: Duration = Duration::from_secs(1);
/// The maximum number of pages to read in search of a log group that can be queried.
const MAX_PAGES: usize = 5;
/// The class whose log groups cannot be queried.
const NOT_QUERIED: &str = "DELIVERY";

/// The result of a probe.
pub(in crate::service) enum ProbeResult {
    /// The grant does not enable the probe.
    Off,
    /// The key that AWS uses.
    Confirmed(Observation),
    /// The probe did not show the key.
    Unknown(Inconclusive),
}

/// Why a probe did not show the key.
#[derive(Debug)]
pub(in crate::service) struct Inconclusive {
    /// The cause, for people.
    pub(in crate::service) message: String,
    /// What would let the probe succeed.
    pub(in crate::service) helps: Remedy,
}

/// What would let a probe show the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Remedy {
    /// A retry at a later time.
    Time,
    /// A permission that the role lacks.
    Permission,
    /// No known remedy.
    Nothing,
}

/// The key of query results, as far as it is known.
pub(in crate::service) struct ObservedKey {
    /// `None` if there is no record and no probe showed the key.
    pub(in crate::service) record: Option<KeyRecord>,
    /// The source of the record.
    pub(in crate::service) source: Source,
}

/// The key of query results, from a probe or from the record. `resource` is the query results.
pub(in crate::service) async fn results_key(
    cx: &mut Context,
    access: &Access,
    resource: &Resource,
) -> Result<ObservedKey, Unavailable> {
    let mut result = probe(cx, access).await;
    // This process makes no change while it holds the lock, so the record is complete.
    let guard = match &result {
        ProbeResult::Confirmed(_) => {
            let deadline = (upstream::now() + MAX_PROPAGATION_WAIT).min(cx.call.deadline);
            let guard = cx.state.resource_locks.lock(resource, deadline).await;
            if guard.is_none() {
                result = ProbeResult::Unknown(Inconclusive::transient("a change is in flight"));
            }
            guard
        }
        ProbeResult::Off | ProbeResult::Unknown(_) => None,
    };
    let record = cx.ports().history.records(std::slice::from_ref(resource)).await;
    let record = record.map(|record| record.into_iter().next());
    let current = record.as_ref().ok().and_then(Option::as_ref);
    let observed = if let Some(observation) = observation_if_changed(result, current, &mut cx.audit) {
        let record = Some(KeyRecord::observe(record.ok().flatten(), &observation));
        cx.state.observations.add([observation]);
        ObservedKey { record, source: Source::Live }
    } else {
        ObservedKey { record: record?, source: Source::Recorded }
    };
    drop(guard);
    Ok(observed)
}

/// The key of query results that a change is about to replace, from a probe. `None` if only the record
/// counts. The caller holds the resource's lock.
pub(in crate::service) async fn prior_results_key(
    cx: &mut Context,
    access: &Access,
    record: Option<&KeyRecord>,
) -> Option<Observation> {
    let result = probe(cx, access).await;
    observation_if_changed(result, record, &mut cx.audit)
}

/// Runs a query if the grant enables it, and returns the key under which AWS stored its results.
pub(in crate::service) async fn probe(cx: &mut Context, access: &Access) -> ProbeResult {
    if !access.grant().verify_query_results {
        return ProbeResult::Off;
    }
    let remaining = cx.call.deadline.saturating_duration_since(upstream::now());
    let deadline = upstream::now() + remaining.mul_f64(BUDGET_SHARE).min(TIMEOUT);
    let state = Arc::clone(&cx.state);
    let mut query = ProbeQuery { cx, state, access, deadline };
    // Boxed, because few calls run a query and the future is large.
    let running: BoxFuture<'_, _> = Box::pin(query.run());
    let (outcome, result) = match running.await {
        Ok(observation) => ("shown", ProbeResult::Confirmed(observation)),
        Err(inconclusive) => {
            tracing::debug!(why = inconclusive.message, "the key of query results was not verified");
            ("unknown", ProbeResult::Unknown(inconclusive))
        }
    };
    metrics::counter!("logkey_query_results_verified_total", "outcome" => outcome).increment(1);
    result
}

/// The observation of a probe, if it adds to the record. Otherwise the audit context gets the reason.
fn observation_if_changed(
    result: ProbeResult,
    record: Option<&KeyRecord>,
    audit: &mut AuditContext,
) -> Option<Observation> {
    let reason = match result {
        ProbeResult::Off => return None,
        ProbeResult::Unknown(reason) => reason.message,
        ProbeResult::Confirmed(observation)
            if record.is_some_and(|record| is_too_early(record, &observation)) =>
        {
            "a query shows a different key, which AWS may use for up to five minutes after a change"
                .to_owned()
        }
        ProbeResult::Confirmed(observation) => return Some(observation),
    };
    audit.detail(&format!("the key of query results was not verified: {reason}"));
    None
}

/// Whether the probe ran too early to contradict the record. AWS may use the previous key for up to five
/// minutes after a change, so a different key in that time is no evidence of a change by another tool.
fn is_too_early(record: &KeyRecord, observation: &Observation) -> bool {
    let is_propagating =
        record.accepted.is_some_and(|accepted| observation.observed_at < accepted.plus(PROPAGATION_DELAY));
    is_propagating && record.key != observation.key
}

/// One query that the service runs to see under which key AWS stores its results.
struct ProbeQuery<'r> {
    cx: &'r mut Context,
    state: Arc<ServiceState>,
    access: &'r Access,
    deadline: Instant,
}

// === impl ProbeQuery ===

impl ProbeQuery<'_> {
    async fn run(&mut self) -> Result<Observation, Inconclusive> {
        let name = self.queryable_group().await?;
        let (access, deadline, state) = (self.access, self.deadline, Arc::clone(&self.state));
        let (observed_at, now) = (state.fact_time(access.location()).await, state.ports.clock.now());
        let start = || state.ports.queries.start(access, &name, now, deadline);
        let query = self.call(Operation::StartQuery, start).await?;
        let query = query.ok_or_else(|| Inconclusive::permanent(format!("log group {name} is gone")))?;
        let key = self.poll_query(&query).await?;
        let resource = Resource { location: access.location().clone(), target: Target::QueryResults };
        Ok(Observation { resource, key, observed_at, created: None, retention: Retention::NotKnown })
    }

    /// Polls a query until it ends.
    async fn poll_query(&mut self, query: &QueryId) -> Result<Option<KmsKeyArn>, Inconclusive> {
        let (access, deadline, state) = (self.access, self.deadline, Arc::clone(&self.state));
        let mut wait = FIRST_POLL;
        loop {
            let next = tokio::time::Instant::now() + wait;
            if next.into_std() >= deadline {
                return Err(Inconclusive::transient("the query did not end in time"));
            }
            tokio::time::sleep_until(next).await;
            wait = (wait * 2).min(MAX_POLL);
            let poll = || state.ports.queries.poll(access, query, deadline);
            match self.call(Operation::GetQueryResults, poll).await? {
                QueryState::Running => {}
                QueryState::Complete { key } => return Ok(key),
                QueryState::Ended { status } => {
                    return Err(Inconclusive::transient(format!("the query ended as {status}")));
                }
            }
        }
    }

    /// Finds a log group that the tenant may see and that can be queried. Prefers one without a key, because
    /// a query of one with a key requires that the role may use that key.
    async fn queryable_group(&mut self) -> Result<LogGroupName, Inconclusive> {
        let access = self.access;
        let mut pages = MAX_PAGES;
        for pattern in &access.grant().log_groups {
            let prefix = pattern.as_str().split('*').next().filter(|prefix| !prefix.is_empty());
            let mut token: Option<Box<str>> = None;
            loop {
                if pages == 0 {
                    return Err(Inconclusive::permanent(
                        "no log group that can be queried was found in the first pages of the list",
                    ));
                }
                pages -= 1;
                let page = log_groups::fetch_page(self.cx, access, prefix, token.as_deref(), self.deadline);
                let page = page.await.map_err(Inconclusive::of)?;
                let mut queryable: Vec<_> =
                    page.groups.iter().filter(|group| self.is_queryable(group)).collect();
                queryable.sort_by_key(|group| group.key.is_some());
                if let Some(group) = queryable.first() {
                    return Ok(group.name.clone());
                }
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
        }
        Err(Inconclusive::permanent("the tenant has no log group that can be queried"))
    }

    fn is_queryable(&self, group: &LogGroup) -> bool {
        let target = Target::LogGroup(group.name.clone());
        let resource = Resource { location: self.access.location().clone(), target };
        group.class.as_deref() != Some(NOT_QUERIED)
            && !group.name.is_reserved()
            && self.access.grant().allows_log_group(&group.name)
            && self.cx.can_read(self.access.tenant(), &resource)
    }

    async fn call<T, F: Future<Output = AwsResponse<T>>>(
        &mut self,
        operation: Operation,
        send: impl Fn() -> F,
    ) -> Result<T, Inconclusive> {
        let response = upstream::read(self.cx, self.access, operation, self.deadline, send).await;
        response.map_err(|error| match error {
            CallError::NoPermit(_) | CallError::Throttled { .. } => {
                Inconclusive::transient("the account's quota left no permit in time")
            }
            CallError::Failed(error) => Inconclusive::of(upstream::read_error(error, self.deadline)),
        })
    }
}

// === impl Inconclusive ===

impl Inconclusive {
    fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), helps: Remedy::Time }
    }

    fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), helps: Remedy::Nothing }
    }

    #[expect(clippy::needless_pass_by_value, reason = "no caller uses the error afterwards")]
    fn of(error: Error) -> Self {
        let is_refusal = matches!(
            &error,
            Error::Aws(AwsCallError::Refused { refusal: Refusal::Denied(_) | Refusal::Other, .. })
        );
        let helps = if is_refusal { Remedy::Permission } else { Remedy::Time };
        let message = match error.aws_answer() {
            Some(answer) => format!("{error}: {}", aws_message(answer)),
            None => error.to_string(),
        };
        Self { message, helps }
    }
}
