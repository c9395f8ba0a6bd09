//! The key of query results as AWS uses it, told by a query that is run for that, where the account's
//! grant asks for it. What a query cannot tell stays with our own record.

use std::time::{Duration, Instant};

use super::{
    Error, KeyBroker, audit_context::AuditContext, execute_change::upstream_outcome, idempotency::boxed,
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{LogGroupName, PROPAGATION_DELAY, Resource, Source, Target},
        authorization::Access,
        call::Call,
        history::{KeyRecord, Observation, Retention},
        principal::Principal,
    },
    ports::{
        AwsResponse, LogGroup, Unavailable, UpstreamError,
        limit::{Operation, QuotaKey},
        queries::{QueryId, QueryState},
    },
};

/// Longest time that is spent on one query, from looking for a log group to its end.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The share of what is left of a call's time that may be spent on it: the rest is for the answer.
const BUDGET_SHARE: f64 = 0.75;
/// How long a query is left alone before the first look at it; each further wait is twice as long.
const FIRST_POLL: Duration = Duration::from_millis(100);
/// Longest wait between two looks.
const MAX_POLL: Duration = Duration::from_secs(1);
/// Longest wait for a change of the key to come to its end, before what a query showed counts for nothing.
const MAX_PROPAGATION_WAIT: Duration = Duration::from_secs(1);
/// Pages of log groups that are read to find one that can be queried.
const MAX_PAGES: usize = 5;
/// The class whose log groups cannot be queried.
const NOT_QUERIED: &str = "DELIVERY";

/// What a query showed of query results.
pub(super) enum ProbeResult {
    /// The grant does not ask for it.
    Off,
    /// This is so.
    Confirmed(Observation),
    /// It could not be told.
    Unknown(Inconclusive),
}

/// Why a query told nothing.
#[derive(Debug)]
pub(super) struct Inconclusive {
    /// In words.
    pub(super) message: String,
    /// What would help.
    pub(super) helps: Remedy,
}

/// What would make a query tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Another try, later.
    Time,
    /// A permission that the role lacks.
    Permission,
    /// Nothing that is known.
    Nothing,
}

/// What is known of the key of query results.
pub(super) struct ObservedKey {
    /// Nothing, where there is neither a record nor a query that told.
    pub(super) record: Option<KeyRecord>,
    /// On what that is based.
    pub(super) source: Source,
}

impl KeyBroker {
    /// What is known of the key of query results; `resource` is theirs.
    pub(super) async fn results_key(
        &self,
        call: &Call,
        principal: &Principal,
        access: &Access,
        resource: &Resource,
        audit: &mut AuditContext,
    ) -> Result<ObservedKey, Unavailable> {
        let shown = self.verified(call, principal, access, audit).await;
        // While it is held nothing is changed from here, so that what the record says is the whole of it.
        let finding = match &shown {
            ProbeResult::Confirmed(_) => {
                let soon = tokio::time::Instant::now().into_std() + MAX_PROPAGATION_WAIT;
                self.serial.lock(resource, soon.min(call.deadline)).await
            }
            ProbeResult::Off | ProbeResult::Unknown(_) => None,
        };
        let shown = match shown {
            ProbeResult::Confirmed(_) if finding.is_none() => {
                ProbeResult::Unknown(Inconclusive::transient("a change is under way"))
            }
            shown @ (ProbeResult::Off | ProbeResult::Confirmed(_) | ProbeResult::Unknown(_)) => shown,
        };
        let record = self.ports.history.records(std::slice::from_ref(resource)).await;
        let record = record.map(|record| record.into_iter().next());
        if let Some(observation) =
            observation_if_changed(shown, record.as_ref().ok().and_then(Option::as_ref), audit)
        {
            let record = Some(KeyRecord::observe(record.ok().flatten(), &observation));
            self.observe([observation]);
            return Ok(ObservedKey { record, source: Source::Live });
        }
        Ok(ObservedKey { record: record?, source: Source::Recorded })
    }

    /// What a query shows of the key of query results that is about to be replaced; none where the record
    /// is all there is. Whoever calls it holds them.
    pub(super) async fn prior_results_key(
        &self,
        call: &Call,
        principal: &Principal,
        access: &Access,
        record: Option<&KeyRecord>,
        audit: &mut AuditContext,
    ) -> Option<Observation> {
        observation_if_changed(self.verified(call, principal, access, audit).await, record, audit)
    }

    /// Runs a query, where the grant asks for it, and tells the key that its results are stored under.
    pub(super) async fn verified(
        &self,
        call: &Call,
        principal: &Principal,
        access: &Access,
        audit: &mut AuditContext,
    ) -> ProbeResult {
        if !access.grant().verify_query_results {
            return ProbeResult::Off;
        }
        let now = tokio::time::Instant::now().into_std();
        let left = call.deadline.saturating_duration_since(now);
        let run = ProbeQuery {
            broker: self,
            call,
            principal,
            access,
            deadline: now + left.mul_f64(BUDGET_SHARE).min(TIMEOUT),
        };
        let (outcome, verified) = match boxed(run.probe(audit)).await {
            Ok(observation) => ("shown", ProbeResult::Confirmed(observation)),
            Err(reason) => {
                tracing::debug!(why = reason.message, "the key of query results was not verified");
                ("unknown", ProbeResult::Unknown(reason))
            }
        };
        metrics::counter!("logkey_query_results_verified_total", "outcome" => outcome).increment(1);
        verified
    }
}

/// What a query showed, where that counts beside the record; the trail tells why it does not.
fn observation_if_changed(
    shown: ProbeResult,
    record: Option<&KeyRecord>,
    audit: &mut AuditContext,
) -> Option<Observation> {
    let reason = match shown {
        ProbeResult::Off => return None,
        ProbeResult::Unknown(reason) => reason.message,
        ProbeResult::Confirmed(observation)
            if record.is_some_and(|record| is_too_early(record, &observation)) =>
        {
            "a query still shows another key, as AWS may for five minutes after a change".to_owned()
        }
        ProbeResult::Confirmed(observation) => return Some(observation),
    };
    audit.detail(&format!("the key of query results was not verified: {reason}"));
    None
}

/// AWS may use another key than the one that was set, for a while after that was done: then a look says
/// nothing of what someone else has done.
fn is_too_early(record: &KeyRecord, observation: &Observation) -> bool {
    let is_propagating =
        record.accepted.is_some_and(|accepted| observation.observed_at < accepted.plus(PROPAGATION_DELAY));
    is_propagating && record.key != observation.key
}

/// One query on its way.
struct ProbeQuery<'r> {
    broker: &'r KeyBroker,
    call: &'r Call,
    principal: &'r Principal,
    access: &'r Access,
    deadline: Instant,
}

// === impl Run ===

impl ProbeQuery<'_> {
    async fn probe(&self, audit: &mut AuditContext) -> Result<Observation, Inconclusive> {
        let name = self.queryable_group(audit).await?;
        let (ports, deadline) = (&self.broker.ports, self.deadline);
        let observed_at = ports.clock.now();
        let start = || ports.queries.start(self.access, &name, observed_at, deadline);
        let query = self.with_permit(Operation::StartQuery, start, audit).await?;
        let query = query.ok_or_else(|| Inconclusive::permanent(format!("log group {name} is gone")))?;
        let key = self.poll_query(&query, audit).await?;
        let resource = Resource { location: self.access.location().clone(), target: Target::QueryResults };
        Ok(Observation { resource, key, observed_at, created: None, retention: Retention::NotKnown })
    }

    /// Looks at a query until it has come to its end.
    async fn poll_query(
        &self,
        query: &QueryId,
        audit: &mut AuditContext,
    ) -> Result<Option<KmsKeyArn>, Inconclusive> {
        let mut wait = FIRST_POLL;
        loop {
            let next = tokio::time::Instant::now() + wait;
            if next.into_std() >= self.deadline {
                return Err(Inconclusive::transient("the query did not come to its end in time"));
            }
            tokio::time::sleep_until(next).await;
            wait = (wait * 2).min(MAX_POLL);
            let look = || self.broker.ports.queries.poll(self.access, query, self.deadline);
            match self.with_permit(Operation::GetQueryResults, look, audit).await? {
                QueryState::Running => {}
                QueryState::Complete { key } => return Ok(key),
                QueryState::Ended { status } => {
                    return Err(Inconclusive::transient(format!("the query ended as {status}")));
                }
            }
        }
    }

    /// A log group that the tenant may see and that can be queried: one without a key before one with a
    /// key, which the role would have to be allowed to use.
    async fn queryable_group(&self, audit: &mut AuditContext) -> Result<LogGroupName, Inconclusive> {
        let mut pages = MAX_PAGES;
        for pattern in &self.access.grant().log_groups {
            let prefix = pattern.as_str().split('*').next().filter(|prefix| !prefix.is_empty());
            let mut token: Option<Box<str>> = None;
            loop {
                if pages == 0 {
                    return Err(Inconclusive::permanent(
                        "no log group that can be queried was found among the first",
                    ));
                }
                pages -= 1;
                let page =
                    self.broker.fetch_page(self.access, prefix, token.as_deref(), self.deadline, audit);
                let page = page.await.map_err(Inconclusive::of)?;
                let mut fitting: Vec<_> =
                    page.groups.iter().filter(|group| self.is_queryable(group)).collect();
                fitting.sort_by_key(|group| group.key.is_some());
                if let Some(group) = fitting.first() {
                    return Ok(group.name.clone());
                }
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
        }
        Err(Inconclusive::permanent("there is no log group of the tenant's that can be queried"))
    }

    fn is_queryable(&self, group: &LogGroup) -> bool {
        let tenant = self.access.tenant();
        let target = Target::LogGroup(group.name.clone());
        let resource = Resource { location: self.access.location().clone(), target };
        group.class.as_deref() != Some(NOT_QUERIED)
            && !group.name.is_reserved()
            && self.access.grant().allows_log_group(&group.name)
            && self.broker.can_read(self.call, self.principal, tenant, &resource)
    }

    /// Makes one call at its turn; again, where AWS throttles it.
    async fn with_permit<T, F: Future<Output = AwsResponse<T>>>(
        &self,
        operation: Operation,
        send: impl Fn() -> F,
        audit: &mut AuditContext,
    ) -> Result<T, Inconclusive> {
        let quota_key = QuotaKey { location: self.access.location().clone(), operation };
        loop {
            let permit =
                self.broker.ports.limiter.acquire(&quota_key, &self.access.tenant().id, self.deadline).await;
            let permit = permit
                .map_err(|_none| Inconclusive::transient("the account's quota left no turn in time"))?;
            let AwsResponse { via, result } = send().await;
            permit.used(upstream_outcome(&result));
            audit.record_aws_call(via);
            match result {
                Ok(answer) => return Ok(answer),
                Err(UpstreamError::Throttled { .. }) => {}
                Err(error) => return Err(Inconclusive::of(super::read::read_error(error, self.deadline))),
            }
        }
    }
}

// === impl Why ===

impl Inconclusive {
    fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), helps: Remedy::Time }
    }

    fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), helps: Remedy::Nothing }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is handled here and nowhere else")]
    fn of(error: Error) -> Self {
        let is_refusal = matches!(error, Error::Refused { .. });
        let helps = if is_refusal { Remedy::Permission } else { Remedy::Time };
        let message = match error.aws_answer() {
            Some(answer) => format!("{error}: {}", super::explain::aws_message(answer)),
            None => error.to_string(),
        };
        Self { message, helps }
    }
}
