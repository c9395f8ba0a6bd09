use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn status(state: JobState) -> JobStatus {
    JobStatus { state, ..JobStatus::new(false, &Safety::default()) }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Pause,
    Resume,
    Cancel,
    Retry,
    Planned,
    Limit,
    Canary,
    Tick { suspended: bool },
    Finish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Start),
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Cancel),
        Just(Step::Retry),
        Just(Step::Planned),
        Just(Step::Limit),
        Just(Step::Canary),
        any::<bool>().prop_map(|suspended| Step::Tick { suspended }),
        Just(Step::Finish),
    ]
}

proptest! {
    #[test]
    fn every_sequence_of_calls_keeps_the_job_consistent(
        steps in prop::collection::vec((step(), 0_i64..3), 0..40),
        start: bool,
        window: bool,
    ) {
        let safety = Safety {
            canary: 1,
            start_time: window.then(|| at(10)),
            end_time: window.then(|| at(60)),
            ..Safety::default()
        };
        let counts = ItemCounts { failed: 3, ..ItemCounts::default() };
        let mut job = JobStatus::new(start, &safety);
        let mut now = 0;
        for (step, seconds) in steps {
            now += seconds;
            let before = job;
            let time = at(now);
            let next = match step {
                Step::Start => before.start(&safety, time).ok(),
                Step::Pause => before.pause().ok(),
                Step::Resume => before.resume(&safety, &counts, time).ok(),
                Step::Cancel => before.cancel(time).ok(),
                Step::Retry => before.retry(&safety, time).ok(),
                Step::Planned => (before.state == JobState::Planning).then(|| before.planned(&safety, time)),
                Step::Limit => {
                    (before.state == JobState::Running).then(|| before.paused(PauseReason::FailureLimit))
                }
                Step::Canary => (before.state == JobState::Running && before.canary_pending)
                    .then(|| before.paused(PauseReason::Canary)),
                Step::Tick { suspended } => before.tick(&safety, suspended, time),
                Step::Finish => (before.state == JobState::Running)
                    .then(|| before.ended(JobState::CompletedWithFailures, time)),
            };
            let Some(next) = next else { continue };
            job = next;
            prop_assert_eq!(job.version, before.version + 1, "each transition has its own etag");
            prop_assert_eq!(job.pause_reason.is_some(), job.state == JobState::Paused);
            prop_assert_eq!(job.ended.is_some(), job.state.has_ended());
            if job.state == JobState::Running {
                prop_assert!(safety.window_contains(time), "nothing runs outside its window");
                prop_assert!(job.started.is_some());
            }
            if before.state.has_ended() {
                prop_assert!(matches!(step, Step::Retry), "only a retry continues a job that ended");
            }
            if before.pause_reason == Some(PauseReason::Caller) && job.state == JobState::Running {
                prop_assert!(matches!(step, Step::Resume | Step::Retry), "only its caller continues it");
            }
            prop_assert!(before.canary_pending || !job.canary_pending, "a canary is over once");
        }
    }
}

#[test]
fn resuming_forgets_earlier_failures_and_the_canary() {
    let safety = Safety { canary: 1, ..Safety::default() };
    let counts = ItemCounts { failed: 3, unknown: 1, ..ItemCounts::default() };
    let paused = JobStatus::new(true, &safety).planned(&safety, at(1)).paused(PauseReason::Canary);
    let resumed = paused.resume(&safety, &counts, at(2)).unwrap();
    assert_eq!((resumed.state, resumed.failures_before), (JobState::Running, 4));
    assert!(!resumed.canary_pending);
    let retried = paused.retry(&safety, at(2)).unwrap();
    assert_eq!(
        (retried.state, retried.canary_pending),
        (JobState::Running, false),
        "its caller saw the canary"
    );
    let limited = JobStatus::new(true, &safety).planned(&safety, at(1)).paused(PauseReason::FailureLimit);
    assert!(limited.resume(&safety, &counts, at(2)).unwrap().canary_pending, "the canary is still due");
}

#[test]
fn a_job_waits_for_its_window_and_stops_at_its_end() {
    let safety = Safety { start_time: Some(at(10)), end_time: Some(at(20)), ..Safety::default() };
    let started = status(JobState::Planned).start(&safety, at(1)).unwrap();
    assert_eq!(started.pause_reason, Some(PauseReason::Window));
    assert!(started.resume(&safety, &ItemCounts::default(), at(2)).is_err());
    let opened = started.tick(&safety, false, at(10)).unwrap();
    assert_eq!(opened.state, JobState::Running);
    let closed = opened.tick(&safety, false, at(20)).unwrap();
    assert_eq!(closed.pause_reason, Some(PauseReason::Window));
    assert!(closed.resume(&safety, &ItemCounts::default(), at(21)).is_err(), "the window is over");
    assert!(closed.cancel(at(21)).is_ok());
}

#[test]
fn a_suspended_tenants_job_continues_with_the_tenant() {
    let safety = Safety::default();
    let running = status(JobState::Planned).start(&safety, at(1)).unwrap();
    let paused = running.tick(&safety, true, at(2)).unwrap();
    assert_eq!(paused.pause_reason, Some(PauseReason::TenantSuspended));
    assert!(paused.tick(&safety, true, at(3)).is_none());
    assert_eq!(paused.tick(&safety, false, at(4)).unwrap().state, JobState::Running);
    assert!(paused.pause().unwrap().tick(&safety, false, at(5)).is_none(), "a caller's pause stays");
}

#[test]
fn a_call_that_does_not_fit_says_what_to_do() {
    let message = status(JobState::Planning).start(&Safety::default(), at(1)).unwrap_err().to_string();
    assert_eq!(message, "the job is PLANNING: wait until it is PLANNED, then start it");
    assert!(status(JobState::Running).retry(&Safety::default(), at(1)).is_err());
    assert!(status(JobState::Succeeded).cancel(at(1)).is_err());
}
