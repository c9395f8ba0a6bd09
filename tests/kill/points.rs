//! Every point of a call: its caller hangs up, or its deadline passes, a little later each time, while
//! each step of it takes a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use logkey::sandbox::fault::{Effect, Fault};

use crate::{
    disk::{Disk, Syncs},
    load::{Answered, Caller, CallerTimeout, Change, group, key},
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

/// How long the session, AWS before its effect, and AWS after it take, each; a sync takes 20 ms more.
const STEP: u64 = 40;
/// Moments, of a twentieth of a call each.
const MOMENTS: u32 = 30;
/// Calls of a tenant that are under way at once.
const AT_ONCE: usize = 5;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn whoever_goes_away_at_any_point_of_a_call_takes_nothing_along() {
    let seed = seed("points");
    let env = TestEnv::new().await;
    let aws = env.aws.sandbox();
    let wait = |operation| Fault::on(operation, Effect::Latency { ms: STEP, jitter_ms: 0 });
    aws.fault(wait("AssumeRole"));
    aws.fault(wait("AssociateKmsKey"));
    aws.fault(wait("AssociateKmsKey").after());
    let disk = Arc::new(Disk::under(&env.store()));
    disk.syncs(Syncs::Slow);
    let mut run = Run::new(env, Storage::Drops(disk), seed);
    let process = run.start().await;

    let cold =
        |account| Change::set(&group(account, &format!("cold-{}", run.env.cold(account))), &key(account, 0));
    let mut answers = vec![Caller::new(&run.env, 0, "first").change(cold(0), CallerTimeout::All).await];
    let started = Instant::now();
    answers.push(Caller::new(&run.env, 0, "whole").change(cold(0), CallerTimeout::All).await);
    let grain = started.elapsed() / 20;
    let moments: Vec<u32> = (0..MOMENTS).collect();
    for some in moments.chunks(AT_ONCE) {
        let mut calls = tokio::task::JoinSet::new();
        for now in some {
            let now = grain * *now + Duration::from_millis(1);
            // The other tenant's first call waits for its session too.
            for (timeout, account) in [(CallerTimeout::Deadline(now), 0), (CallerTimeout::HangsUp(now), 2)] {
                let mut caller = Caller::new(&run.env, account, &format!("{account}-{}", now.as_micros()));
                let change = cold(account);
                calls.spawn(async move { caller.change(change, timeout).await });
            }
        }
        answers.extend(calls.join_all().await);
    }
    let changed = answers.iter().filter(|answer| matches!(answer.result, Answered::Made { .. })).count();
    run.answers = answers;
    // Ended in order, so that what still runs ends by itself.
    assert!(process.terminate().await.success());
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert_eq!(joined.cut_off, 0, "an outcome was lost with its caller: {joined:?}");
    assert!(changed > 0 && joined.unanswered > 0 && joined.intents > changed, "{joined:?}");
}
