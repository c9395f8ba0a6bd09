//! How streams end, each way, with time given.

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
    service::{AuditPorts, Dependencies, ServiceState, StreamLimits},
    testing::{
        FakeAudit, FakeAws, FakeClock, FakeLog, FakePolicy, FakeQueries, FakeQuota, FakeRules,
        FakeUpstreamLimiter, call, principal, tenant,
    },
};

/// What can change while a stream is open.
#[derive(Debug, Default)]
struct Switch {
    suspended: AtomicBool,
    gone: AtomicBool,
    forbidden: AtomicBool,
    /// Whether nobody may see the events of all any more.
    narrowed: AtomicBool,
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
        (!self.gone.load(SeqCst)).then(|| Arc::new(found))
    }

    fn by_claim(&self, _: &str, _: &str) -> Option<Arc<Tenant>> {
        None
    }
}

impl Authorize for Switch {
    fn decide(&self, question: &AuthzRequest<'_>) -> Decision {
        if self.forbidden.load(SeqCst) {
            return Decision::Deny(Denial::Forbidden { policies: vec!["closed".into()] });
        }
        if self.narrowed.load(SeqCst) && matches!(question.about, ResourceScope::AuditLog(LogScope::All)) {
            return Decision::Deny(Denial::NotPermitted);
        }
        FakePolicy::default().decide(question)
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
            clock: clock.clone(),
            tasks: tasks.clone(),
        });
        let ports = AuditPorts { log: log.clone(), tree: log.clone() };
        let limits = StreamLimits { per_tenant: NonZeroU32::MIN, ..StreamLimits::default() };
        let reads = AuditQueries::new(ports, limits);
        Self { reads, state, log, audit, clock, switch, stopping: CancellationToken::new(), tasks }
    }

    /// A stream by a token that lives so long, of a call that may take five seconds.
    async fn watch(&self, lives: Duration) -> Result<EventStream, Error> {
        self.watch_with(lives, &["logkey:audit"]).await
    }

    async fn watch_with(&self, lives: Duration, scopes: &[&str]) -> Result<EventStream, Error> {
        let call = call(Action::WatchAuditEvents, Duration::from_secs(5));
        let mut principal = principal("acme", scopes);
        principal.expires = self.clock.now().plus(lives);
        let cx = Context::current(&self.state, Arc::new(call), Arc::new(principal));
        self.reads.watch(cx, EventFilter::default(), Some(0), self.stopping.clone()).await
    }

    /// What the log says of how streams ended, and that each gave its place back.
    async fn ends(&self) -> Vec<String> {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
        self.watch(Duration::from_secs(1)).await.unwrap();
        let notes = self.audit.notes().into_iter().filter_map(|event| event.detail);
        notes.map(String::from).filter(|detail| detail.starts_with("a stream ended: ")).collect()
    }
}

/// Everything that comes until the stream ends: how many batches, why it ended, and after how long.
async fn rest(mut stream: EventStream) -> (usize, Option<Reason>, Duration) {
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
async fn a_stream_ends_with_its_token_and_until_then_silence_lasts_half_a_minute_at_most() {
    let env = TestEnv::new();
    let stream = env.watch(Duration::from_secs(100)).await.unwrap();
    let (message, reason, took) = rest(stream).await;
    assert_eq!((message, reason), (3, Some(Reason::TokenExpired)), "words after 30, 60 and 90 seconds");
    assert_eq!(took, Duration::from_secs(100), "and not when the call's five seconds were over");
    assert_eq!(env.ends().await, ["a stream ended: the token's time is over; 0 events up to position 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_past_the_token_ends_its_stream_with_the_next_word() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.clock.advance(HOUR);
    assert_eq!(rest(stream).await, (0, Some(Reason::TokenExpired), HEARTBEAT));
}

#[tokio::test(start_paused = true)]
async fn no_stream_is_open_for_more_than_thirty_days_whatever_its_token_says() {
    let env = TestEnv::new();
    let stream = env.watch(Duration::from_hours(24 * 365)).await.unwrap();
    let (message, reason, took) = rest(stream).await;
    assert_eq!((reason, took), (Some(Reason::TokenExpired), MAX_AGE));
    assert!(message > 80_000, "{message}: a word each half minute");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_a_minute_loses_its_stream_and_is_told() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.log.grow_to(1);
    // One batch waits for the client, and the next one waits for that.
    time::sleep(HEARTBEAT + TIMEOUT + Duration::from_secs(1)).await;
    let (batches, reason, took) = rest(stream).await;
    assert_eq!((batches, reason, took), (1, Some(Reason::StreamNotRead), Duration::ZERO));
    assert!(env.ends().await[0].contains("the client took nothing from its stream for too long; 1 events"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_something_each_minute_keeps_its_stream_and_misses_nothing() {
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
async fn a_tenant_suspended_while_it_watches_loses_its_stream_with_the_next_word() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.switch.suspended.store(true, SeqCst);
    assert_eq!(rest(stream).await, (0, Some(Reason::TenantSuspended), HEARTBEAT));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_taken_away_while_it_watches_loses_its_stream_with_the_next_word() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.switch.gone.store(true, SeqCst);
    let (batches, reason, took) = rest(stream).await;
    assert_eq!((batches, took), (0, HEARTBEAT));
    assert_eq!(reason, Some(Error::TenantRemoved.reason()));
}

/// Once this is so, not one more event comes.
async fn ends_before_another_event(so: fn(&Switch) -> &AtomicBool, scopes: &[&str], reason: Reason) {
    let env = TestEnv::new();
    let mut stream = env.watch_with(HOUR, scopes).await.unwrap();
    env.log.grow_to(1);
    assert_eq!(stream.next().await.unwrap().unwrap().events.len(), 1);
    so(&env.switch).store(true, SeqCst);
    env.log.grow_to(2);
    assert_eq!(rest(stream).await, (0, Some(reason), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn not_one_more_event_comes_once_the_tenant_is_suspended() {
    ends_before_another_event(|switch| &switch.suspended, &["logkey:audit"], Reason::TenantSuspended).await;
}

#[tokio::test(start_paused = true)]
async fn not_one_more_event_comes_once_a_policy_forbids() {
    ends_before_another_event(|switch| &switch.forbidden, &["logkey:audit"], Reason::NotAllowed).await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_may_no_longer_see_the_events_of_all_loses_the_stream_rather_than_sees_them() {
    let scopes = ["logkey:audit", "logkey:admin"];
    ends_before_another_event(|switch| &switch.narrowed, &scopes, Reason::NotAllowed).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_silent_is_judged_as_often() {
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
    let (batches, reason, _) = rest(stream).await;
    busy.abort();
    assert_eq!(reason, Some(Reason::NotAllowed));
    assert!((90..100).contains(&batches), "{batches}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_stream_at_once_with_a_word() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.stopping.cancel();
    assert_eq!(rest(stream).await, (0, Some(Reason::ShuttingDown), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_client_that_takes_nothing() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.log.grow_to(1);
    time::sleep(HEARTBEAT + Duration::from_secs(1)).await;
    let start = Instant::now();
    env.stopping.cancel();
    env.tasks.close();
    env.tasks.wait().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(rest(stream).await, (1, Some(Reason::ShuttingDown), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_its_stream_and_that_is_recorded() {
    let env = TestEnv::new();
    drop(env.watch(HOUR).await.unwrap());
    assert_eq!(env.ends().await, ["a stream ended: its client left; 0 events up to position 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_ends_the_stream_and_says_so() {
    let env = TestEnv::new();
    let stream = env.watch(HOUR).await.unwrap();
    env.log.fail();
    env.log.grow_to(1);
    let (batches, reason, took) = rest(stream).await;
    assert_eq!((batches, took), (0, Duration::ZERO));
    assert_eq!(reason, Some(Reason::AuditUnavailable));
}
