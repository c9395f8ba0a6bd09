//! Changes of bulk jobs that stop before the change is sent.

use tokio::sync::watch;

use super::{
    changes::{associate::associate_item, change::ItemRequest, prior_state::GroupRead},
    shared::{job_gate::JobGate, lease::Lease},
    *,
};
use crate::{
    domain::{
        association::Location,
        fleet::{JobId, JobState, Safety},
    },
    ports::Clock as _,
};

/// A change of a running job that has its intent and waits for its permit.
struct WaitingChange {
    env: TestEnv,
    job: watch::Sender<JobState>,
    change: tokio::task::JoinHandle<Result<Changed, Error>>,
}

impl WaitingChange {
    async fn with(safety: Safety) -> Self {
        let limiter = FakeUpstreamLimiter::withholding();
        let env = env_with(FakePolicy::default(), limiter, groups(&["/app/web"]));
        let (job, state) = watch::channel(JobState::Running);
        let gate = JobGate { state, safety, clock: env.clock.clone() };
        let [group] = <[_; 1]>::try_from(groups(&["/app/web"])).unwrap();
        let location =
            Location { account: "111122223333".parse().unwrap(), region: "eu-west-1".parse().unwrap() };
        let resource = Resource { location, target: Target::LogGroup(group.name.clone()) };
        let read = Some(GroupRead { group, at: env.clock.now() });
        let call = call(Action::AssociateKmsKey, TIMEOUT);
        let cx = env.cx(call, principal("acme", ALL));
        let cx = cx.of_job(JobId::new_v7(), Arc::new(Lease::unlimited())).gated(gate);
        let request = ItemRequest { resource, reason: None, read };
        let change = tokio::spawn(associate_item(cx, KEY.parse().unwrap(), request));
        while env.kinds().is_empty() {
            tokio::task::yield_now().await;
        }
        Self { env, job, change }
    }

    /// Waits for the end of the change. Asserts that it ends without a call, and that the audit log says so.
    async fn end_held_back(self) -> TestEnv {
        let error = self.change.await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Reason::JobState);
        assert_eq!(self.env.aws.calls(), []);
        assert_eq!(self.env.kinds(), [(Kind::Intent, None), (Kind::Outcome, Some(Reason::JobState))]);
        self.env
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_waits_for_its_permit_is_not_sent_after_a_pause() {
    let waiting = WaitingChange::with(Safety::default()).await;
    waiting.job.send(JobState::Paused).unwrap();
    waiting.end_held_back().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_gets_its_permit_after_the_window_is_not_sent() {
    let end = FakeClock::default().now().plus(Duration::from_secs(1));
    let waiting = WaitingChange::with(Safety { end_time: Some(end), ..Safety::default() }).await;
    waiting.env.clock.advance(Duration::from_secs(1));
    waiting.env.limiter.issue();
    let env = waiting.end_held_back().await;
    assert_eq!(env.limiter.used(), [UpstreamOutcome::NotSent], "the permit is returned");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_running_job_is_sent_with_its_permit() {
    let waiting = WaitingChange::with(Safety::default()).await;
    waiting.env.limiter.issue();
    waiting.change.await.unwrap().unwrap();
    assert_eq!(waiting.env.aws.calls().len(), 1);
}
