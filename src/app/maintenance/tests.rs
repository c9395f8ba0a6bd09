use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    domain::{
        association::{Target, UnresolvedLocation},
        audit::{Kind, ReconciliationResult},
        call::Action,
        request::{AssociateRequest, UnresolvedResource},
    },
    ports::{Leadership, LogGroup, UpstreamError, quotas::QuotaDiscoveryDisabled},
    service::{self, Context, Dependencies, PageTokens},
    testing::{
        FakeAudit, FakeAws, FakeClock, FakePolicy, FakeQueries, FakeQuota, FakeRules, FakeTenants,
        FakeUpstreamLimiter, KEY, call, principal, tenant,
    },
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether this process is the leader, and whether it is the only process.
#[derive(Default)]
struct FakeLeadership {
    leads: AtomicBool,
    single_node: bool,
}

impl Leadership for FakeLeadership {
    fn is_leader(&self) -> bool {
        self.leads.load(Ordering::SeqCst)
    }

    fn is_single_node(&self) -> bool {
        self.single_node
    }
}

fn state(aws: &Arc<FakeAws>, audit: &Arc<FakeAudit>, clock: &Arc<FakeClock>) -> Arc<ServiceState> {
    ServiceState::new(Dependencies {
        rules: Arc::new(FakeRules::of(
            Arc::new(FakeTenants(vec![Arc::new(tenant("acme"))])),
            Arc::new(FakePolicy::default()),
        )),
        associations: aws.clone(),
        log_groups: aws.clone(),
        keys: aws.clone(),
        queries: Arc::new(FakeQueries::default()),
        roles: aws.clone(),
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
        tasks: TaskTracker::new(),
    })
}

fn group() -> LogGroup {
    LogGroup {
        name: "/app/web".parse().unwrap(),
        key: Some(KEY.parse().unwrap()),
        class: None,
        retention: None,
        created: None,
    }
}

/// Every reconciliation result that was recorded so far.
fn reconciled(audit: &FakeAudit) -> Vec<ReconciliationResult> {
    let entries = audit.entries().into_iter();
    entries
        .filter_map(|entry| match entry.event.kind {
            Kind::Reconciled(settlement) => Some(settlement),
            Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle | Kind::Finding => {
                None
            }
        })
        .collect()
}

/// Sends a change that AWS never answers.
async fn send_unanswered_change(state: &Arc<ServiceState>, aws: &FakeAws) {
    for _ in 0..100 {
        aws.answer(UpstreamError::Unanswered("reset".into()));
    }
    let request = AssociateRequest {
        resource: UnresolvedResource {
            location: UnresolvedLocation::default(),
            target: Target::LogGroup("/app/web".parse().unwrap()),
        },
        key: KEY.parse().unwrap(),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: None,
    };
    let call = call(Action::AssociateKmsKey, Duration::from_secs(2));
    let principal = principal("acme", &["logkey:read", "logkey:associate"]);
    let error = service::associate(Context::current(state, Arc::new(call), Arc::new(principal)), request)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Reason::OutcomeUnknown);
}

fn reconciler(
    state: &Arc<ServiceState>,
    changes: Arc<FakeAudit>,
    leadership: Arc<FakeLeadership>,
    started: Timestamp,
) -> Reconciler<FakeAudit> {
    let state = Arc::clone(state);
    Reconciler { state, changes, leadership, started, request_timeout: REQUEST_TIMEOUT }
}

#[tokio::test(start_paused = true)]
async fn a_change_without_an_answer_is_reconciled_while_the_service_runs() {
    let (aws, audit) = (Arc::new(FakeAws::with(vec![group()])), Arc::new(FakeAudit::default()));
    let clock = Arc::new(FakeClock::default());
    let state = state(&aws, &audit, &clock);
    let started = clock.now();
    let open = Arc::clone(&audit);
    let leader = Arc::new(FakeLeadership { leads: true.into(), single_node: true });
    let background = tokio::spawn(reconciler(&state, open, leader, started).run());

    clock.advance(Duration::from_secs(1));
    send_unanswered_change(&state, &aws).await;

    // It is not reconciled while a call with the longest deadline could still be working on it.
    let wait = async |seconds| {
        clock.advance(Duration::from_secs(seconds));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    wait(30).await;
    assert_eq!(reconciled(&audit), []);
    wait(60).await;
    assert_eq!(reconciled(&audit), [ReconciliationResult::Effective]);
    wait(120).await;
    assert_eq!(reconciled(&audit).len(), 1, "it was reconciled twice");
    background.abort();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_neither_hurries_nor_delays_a_reconciliation() {
    for ahead in [true, false] {
        let (aws, audit) = (Arc::new(FakeAws::with(vec![group()])), Arc::new(FakeAudit::default()));
        let clock = Arc::new(FakeClock::default());
        clock.advance(Duration::from_hours(48));
        let state = state(&aws, &audit, &clock);
        let leader = Arc::new(FakeLeadership { leads: true.into(), single_node: false });
        let background = tokio::spawn(reconciler(&state, Arc::clone(&audit), leader, clock.now()).run());
        send_unanswered_change(&state, &aws).await;
        if ahead {
            clock.advance(Duration::from_hours(24));
        } else {
            clock.set_back(Duration::from_hours(24));
        }
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(reconciled(&audit), [], "a call may still be working on it: {ahead}");
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(reconciled(&audit), [ReconciliationResult::Effective], "{ahead}");
        background.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_reconciles_and_only_what_no_call_can_still_change() {
    let (aws, audit) = (Arc::new(FakeAws::with(vec![group()])), Arc::new(FakeAudit::default()));
    let clock = Arc::new(FakeClock::default());
    let state = state(&aws, &audit, &clock);
    send_unanswered_change(&state, &aws).await;
    // Another process starts while the change may still be in flight in the first one.
    clock.advance(Duration::from_secs(3));
    let started = clock.now();
    let leadership = Arc::new(FakeLeadership::default());
    let (open, lead) = (Arc::clone(&audit), Arc::clone(&leadership));
    let background = tokio::spawn(reconciler(&state, open, lead, started).run());
    let wait = async |seconds| {
        clock.advance(Duration::from_secs(seconds));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    wait(10).await;
    assert_eq!(reconciled(&audit), [], "a new process reconciled the change of a running one");
    wait(120).await;
    assert_eq!(reconciled(&audit), [], "a process that is not the leader reconciled the change");
    leadership.leads.store(true, Ordering::SeqCst);
    wait(20).await;
    assert_eq!(reconciled(&audit), [ReconciliationResult::Effective]);
    background.abort();
}
