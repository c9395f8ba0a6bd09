use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    domain::{
        association::{Target, UnresolvedLocation},
        audit::{Kind, Settlement},
        call::Action,
        request::{AssociateRequest, UnresolvedResource},
    },
    ports::{Leadership, LogGroup, UpstreamError, quotas::QuotaDiscoveryDisabled},
    service::Dependencies,
    testing::{
        FakeAudit, FakeAws, FakeClock, FakePolicy, FakeQueries, FakeQuota, FakeRules, FakeTenants,
        FakeUpstreamLimiter, KEY, call, principal, tenant,
    },
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether this process is the one that settles, of several.
#[derive(Default)]
struct FakeLeadership {
    leads: AtomicBool,
    alone: bool,
}

impl Leadership for FakeLeadership {
    fn is_leader(&self) -> bool {
        self.leads.load(Ordering::SeqCst)
    }

    fn is_single_node(&self) -> bool {
        self.alone
    }
}

fn broker(aws: &Arc<FakeAws>, audit: &Arc<FakeAudit>, clock: &Arc<FakeClock>) -> KeyBroker {
    KeyBroker::new(Dependencies {
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

/// Every settlement that was recorded so far.
fn reconciled(audit: &FakeAudit) -> Vec<Settlement> {
    let entries = audit.entries().into_iter();
    entries
        .filter_map(|entry| match entry.event.kind {
            Kind::Reconciled(settlement) => Some(settlement),
            Kind::Intent | Kind::Outcome | Kind::Read | Kind::Refusal | Kind::Lifecycle => None,
        })
        .collect()
}

/// A change that AWS never answers.
async fn lose_an_answer(broker: &KeyBroker, aws: &FakeAws) {
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
    let error = broker.associate(&call, &principal, request).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_reset_is_settled_in_the_background_while_the_service_runs() {
    let (aws, audit) = (Arc::new(FakeAws::with(vec![group()])), Arc::new(FakeAudit::default()));
    let clock = Arc::new(FakeClock::default());
    let broker = broker(&aws, &audit, &clock);
    let (started, shared) = (clock.now(), Arc::clone(&clock) as Arc<dyn Clock>);
    let open = Arc::clone(&audit);
    let alone = Arc::new(FakeLeadership { leads: true.into(), alone: true });
    let background =
        tokio::spawn(run_reconciler(broker.clone(), open, alone, shared, started, REQUEST_TIMEOUT));

    clock.advance(Duration::from_secs(1));
    lose_an_answer(&broker, &aws).await;

    // While a call with the longest deadline could still be at it, it is left alone.
    let pass = async |seconds| {
        clock.advance(Duration::from_secs(seconds));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    pass(30).await;
    assert_eq!(reconciled(&audit), []);
    pass(60).await;
    assert_eq!(reconciled(&audit), [Settlement::InForce]);
    pass(120).await;
    assert_eq!(reconciled(&audit).len(), 1, "once");
    background.abort();
}

#[tokio::test(start_paused = true)]
async fn of_several_processes_the_one_that_leads_settles_and_none_what_another_may_be_at() {
    let (aws, audit) = (Arc::new(FakeAws::with(vec![group()])), Arc::new(FakeAudit::default()));
    let clock = Arc::new(FakeClock::default());
    let broker = broker(&aws, &audit, &clock);
    lose_an_answer(&broker, &aws).await;
    // Another process begins while the change may still be under way in the first one.
    clock.advance(Duration::from_secs(3));
    let (started, shared) = (clock.now(), Arc::clone(&clock) as Arc<dyn Clock>);
    let leadership = Arc::new(FakeLeadership::default());
    let (open, lead) = (Arc::clone(&audit), Arc::clone(&leadership));
    let background =
        tokio::spawn(run_reconciler(broker.clone(), open, lead, shared, started, REQUEST_TIMEOUT));
    let pass = async |seconds| {
        clock.advance(Duration::from_secs(seconds));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    pass(10).await;
    assert_eq!(reconciled(&audit), [], "a new process takes it for one of its own past");
    pass(120).await;
    assert_eq!(reconciled(&audit), [], "it settles though another process leads");
    leadership.leads.store(true, Ordering::SeqCst);
    pass(20).await;
    assert_eq!(reconciled(&audit), [Settlement::InForce]);
    background.abort();
}
