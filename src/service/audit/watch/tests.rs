//! Every way in which a stream ends, in paused time.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use futures_util::StreamExt as _;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    domain::{
        authorization::{AuthzRequest, Decision, Denial, LogScope, ResourceScope},
        call::Action,
        reason::Reason,
        tenant::{Tenant, TenantId},
    },
    ports::{Authorize, Clock as _, TenantDirectory, quotas::QuotaDiscoveryDisabled},
    service::{AuditPorts, Dependencies, PageTokens, ServiceState, StreamLimits},
    testing::{
        FakeAudit, FakeAws, FakeClock, FakeLog, FakePolicy, FakeQueries, FakeQuota, FakeRules,
        FakeUpstreamLimiter, call, principal, tenant,
    },
};

/// Changes that a test makes while a stream is open.
#[derive(Debug, Default)]
struct Switch {
    suspended: AtomicBool,
    removed: AtomicBool,
    forbidden: AtomicBool,
    /// Whether policy no longer permits anyone to read the events of all tenants.
    restricted: AtomicBool,
}

struct TestEnv {
    reads: AuditQueries,
    state: Arc<ServiceState>,
    log: Arc<FakeLog>,
    audit: Arc<FakeAudit>,
    clock: Arc<FakeClock>,
    switch: Arc<Switch>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl TenantDirectory for Switch {
    fn find(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        let suspended = self.suspended.load(SeqCst);
        let found = Tenant { suspended, ..tenant(id.as_str()) };
        (!self.removed.load(SeqCst)).then(|| Arc::new(found))
    }

    fn all(&self) -> Vec<Arc<Tenant>> {
        Vec::new()
    }

    fn by_claim(&self, _: &str, _: &str) -> Option<Arc<Tenant>> {
        None
    }
}

impl Authorize for Switch {
    fn decide(&self, request: &AuthzRequest<'_>) -> Decision {
        if self.forbidden.load(SeqCst) {
            return Decision::Deny(Denial::Forbidden { policies: vec!["closed".into()] });
        }
        if self.restricted.load(SeqCst) && matches!(request.about, ResourceScope::AuditLog(LogScope::All)) {
            return Decision::Deny(Denial::NotPermitted);
        }
        FakePolicy::default().decide(request)
    }
}

impl TestEnv {
    fn new() -> Self {
        let (aws, audit) = (Arc::new(FakeAws::default()), Arc::new(FakeAudit::default()));
        let (clock, log, switch) =
            (Arc::new(FakeClock::default()), Arc::new(FakeLog::default()), Arc::new(Switch::default()));
        let tasks = TaskTracker::new();
        let state = ServiceState::new(Dependencies {
            rules: Arc::new(FakeRules::of(switch.clone(), switch.clone())),
            associations: aws.clone(),
            log_groups: aws.clone(),
            keys: aws.clone(),
            roles: aws,
            queries: Arc::new(FakeQueries::default()),
            quotas: Arc::new(QuotaDiscoveryDisabled),
            limiter: Arc::new(FakeUpstreamLimiter::default()),
            quota: Arc::new(FakeQuota),
            audit: audit.clone(),
            history: audit.history.clone(),
            observations: audit.history.clone(),
            requests: audit.history.clone(),
            open: audit.clone(),
            page_tokens: Arc::new(PageTokens::new(&[[1; 32]])),
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        let ports = AuditPorts { log: log.clone(), tree: log.clone(), archive: None };
        let limits = StreamLimits { per_tenant: NonZeroU32::MIN, ..StreamLimits::default() };
        let reads = AuditQueries::new(ports, limits);
        Self { reads, state, log, audit, clock, switch, stopping: CancellationToken::new(), tasks }
    }

    /// Opens a stream with a token of this lifetime. The call has a deadline of five seconds.
    async fn watch(&self, lifetime: Duration) -> Result<EventStream, Error> {
        self.watch_with(lifetime, &["logkey:audit"]).await
    }

    async fn watch_with(&self, lifetime: Duration, scopes: &[&str]) -> Result<EventStream, Error> {
        let call = call(Action::WatchAuditEvents, Duration::from_secs(5));
        let mut principal = principal("acme", scopes);
        principal.expires = self.clock.now().plus(lifetime);
        let cx = Context::current(&self.state, Arc::new(call), Arc::new(principal));
        self.reads.watch(cx, EventFilter::default(), Some(0), self.stopping.clone()).await
    }

    /// The recorded ends of the streams. Fails if a stream that ended still counts as open.
    async fn ends(&self) -> Vec<String> {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
        self.watch(Duration::from_secs(1)).await.unwrap();
        let notes = self.audit.notes().into_iter().filter_map(|event| event.detail);
        notes.map(String::from).filter(|detail| detail.starts_with("a stream ended: ")).collect()
    }
}

/// Reads a stream until it ends. Returns the number of batches, the reason of the end, and the time it took.
async fn drain(mut stream: EventStream) -> (usize, Option<Reason>, Duration) {
    let (start, mut batches) = (Instant::now(), 0);
    while let Some(item) = stream.next().await {
        match item {
            Ok(_) => batches += 1,
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing follows the end");
                return (batches, Some(error.reason()), start.elapsed());
            }
        }
    }
    (batches, None, start.elapsed())
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_stream_sends_heartbeats_and_ends_when_its_token_expires() {
    let env = TestEnv::new();
    let stream = env.watch(Duration::from_secs(100)).await.unwrap();
    let (batches, reason, took) = drain(stream).await;
    assert_eq!((batches, reason), (3, Some(Reason::TokenExpired)), "heartbeats after 30, 60 and 90 seconds");
    assert_eq!(took, Duration::from_secs(100), "the call's deadline of five seconds does not apply");
    assert_eq!(env.ends().await, ["a stream ended: the token has expired; 0 events up to position 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_jump_past_the_tokens_expiry_ends_the_stream_at_the_next_check() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.clock.advance(HOUR);
    assert_eq!(drain(stream).await, (0, Some(Reason::TokenExpired), RECHECK_INTERVAL));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_thirty_days_even_if_its_token_is_valid_for_longer() {
    let env = TestEnv::new();
    let stream = env.watch(Duration::from_hours(24 * 365)).await.unwrap();
    let (batches, reason, took) = drain(stream).await;
    assert_eq!((reason, took), (Some(Reason::TokenExpired), MAX_AGE));
    assert!(batches > 80_000, "{batches}: a heartbeat every half minute");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_for_a_minute_loses_its_stream_with_a_reason() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.log.grow_to(1);
    // One batch is in the channel, and the next one waits for it.
    time::sleep(HEARTBEAT + TIMEOUT + Duration::from_secs(1)).await;
    let (batches, reason, took) = drain(stream).await;
    assert_eq!((batches, reason, took), (1, Some(Reason::StreamNotRead), Duration::ZERO));
    assert!(env.ends().await[0].contains("the client did not read from its stream for too long; 1 event up"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_once_a_minute_keeps_its_stream_and_misses_no_event() {
    let env = TestEnv::new();
    let mut stream = env.watch(HOUR).await.unwrap();
    let mut arrived = Vec::new();
    for size in 1..=30_u64 {
        env.log.grow_to(size * 10);
        time::sleep(TIMEOUT.saturating_sub(Duration::from_secs(1))).await;
        arrived.extend(stream.next().await.unwrap().unwrap().events);
    }
    while arrived.len() < 300 {
        arrived.extend(stream.next().await.unwrap().unwrap().events);
    }
    assert!(arrived.iter().map(|event| event.seq).eq(1..=300));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_suspended_loses_its_stream_at_the_next_check() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.switch.suspended.store(true, SeqCst);
    assert_eq!(drain(stream).await, (0, Some(Reason::TenantSuspended), RECHECK_INTERVAL));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_removed_loses_its_stream_at_the_next_check() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.switch.removed.store(true, SeqCst);
    let (batches, reason, took) = drain(stream).await;
    assert_eq!((batches, took), (0, RECHECK_INTERVAL));
    assert_eq!(reason, Some(Error::Access(AccessError::TenantRemoved).reason()));
}

/// Asserts that the stream sends no further event once the flag is set.
async fn ends_before_another_event(flag: fn(&Switch) -> &AtomicBool, scopes: &[&str], reason: Reason) {
    let env = TestEnv::new();
    let mut stream = env.watch_with(HOUR, scopes).await.unwrap();
    env.log.grow_to(1);
    assert_eq!(stream.next().await.unwrap().unwrap().events.len(), 1);
    flag(&env.switch).store(true, SeqCst);
    env.log.grow_to(2);
    assert_eq!(drain(stream).await, (0, Some(reason), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_tenant_gets_no_further_event() {
    ends_before_another_event(|switch| &switch.suspended, &["logkey:audit"], Reason::TenantSuspended).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_a_policy_forbids_gets_no_further_event() {
    ends_before_another_event(|switch| &switch.forbidden, &["logkey:audit"], Reason::NotAllowed).await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_may_no_longer_see_all_events_loses_the_stream() {
    let scopes = ["logkey:audit", "logkey:admin"];
    ends_before_another_event(|switch| &switch.restricted, &scopes, Reason::NotAllowed).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_stream_is_authorized_for_each_batch() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    let (log, switch) = (Arc::clone(&env.log), Arc::clone(&env.switch));
    let busy = tokio::spawn(async move {
        for size in 1.. {
            log.grow_to(size);
            switch.forbidden.store(size == 100, SeqCst);
            time::sleep(Duration::from_secs(1)).await;
        }
    });
    let (batches, reason, _) = drain(stream).await;
    busy.abort();
    assert_eq!(reason, Some(Reason::NotAllowed));
    assert!((90..100).contains(&batches), "{batches}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_a_stream_at_once_with_a_reason() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.stopping.cancel();
    assert_eq!(drain(stream).await, (0, Some(Reason::ShuttingDown), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_client_that_reads_nothing() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.log.grow_to(1);
    time::sleep(HEARTBEAT + Duration::from_secs(1)).await;
    let start = Instant::now();
    env.stopping.cancel();
    env.tasks.close();
    env.tasks.wait().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(drain(stream).await, (1, Some(Reason::ShuttingDown), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_is_recorded_if_its_client_disconnects() {
    let env = TestEnv::new();
    drop(env.watch(HOUR).await.unwrap());
    assert_eq!(env.ends().await, ["a stream ended: the client disconnected; 0 events up to position 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_ends_the_stream_with_a_reason() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.log.fail();
    env.log.grow_to(1);
    let (batches, reason, took) = drain(stream).await;
    assert_eq!((batches, took), (0, Duration::ZERO));
    assert_eq!(reason, Some(Reason::AuditUnavailable));
}
