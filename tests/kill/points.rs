//! Callers that disconnect, or whose deadline passes, at every point of a call. Each step of the call is
//! slow, and each caller leaves a little later than the one before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use logkey::sandbox::fault::{Effect, Fault};

use crate::{
    disk::{Disk, Syncs},
    load::{CallResult, Caller, CallerTimeout, Change, group, key},
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

/// The delay of each step in milliseconds: the session, AWS before the effect, and AWS after it. A sync adds
/// 20 ms.
const STEP_MS: u64 = 40;
/// The number of points in time, each a twentieth of a call later than the one before.
const POINTS: u32 = 30;
/// The number of concurrent calls of a tenant.
const CONCURRENCY: usize = 5;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn a_caller_that_leaves_at_any_point_loses_no_outcome() {
    let seed = seed("points");
    let env = TestEnv::new().await;
    let aws = env.aws.sandbox();
    let delay = |operation| Fault::on(operation, Effect::Latency { ms: STEP_MS, jitter_ms: 0 });
    aws.fault(delay("AssumeRole"));
    aws.fault(delay("AssociateKmsKey"));
    aws.fault(delay("AssociateKmsKey").after());
    let disk = Arc::new(Disk::under(&env.store()));
    disk.syncs(Syncs::Slow);
    let mut run = Run::new(env, Storage::LosesUnsynced(disk), seed);
    let process = run.start().await;

    let cold =
        |account| Change::set(&group(account, &format!("cold-{}", run.env.cold(account))), &key(account, 0));
    let mut answers = vec![Caller::new(&run.env, 0, "first").change(cold(0), CallerTimeout::None).await];
    let started = Instant::now();
    answers.push(Caller::new(&run.env, 0, "whole").change(cold(0), CallerTimeout::None).await);
    let grain = started.elapsed() / 20;
    let points: Vec<u32> = (0..POINTS).collect();
    for batch in points.chunks(CONCURRENCY) {
        let mut calls = tokio::task::JoinSet::new();
        for point in batch {
            let after = grain * *point + Duration::from_millis(1);
            // The first call of the other tenant also waits for its session.
            for (timeout, account) in
                [(CallerTimeout::Deadline(after), 0), (CallerTimeout::Disconnect(after), 2)]
            {
                let mut caller = Caller::new(&run.env, account, &format!("{account}-{}", after.as_micros()));
                let change = cold(account);
                calls.spawn(async move { caller.change(change, timeout).await });
            }
        }
        answers.extend(calls.join_all().await);
    }
    let changed =
        answers.iter().filter(|answer| matches!(answer.result, CallResult::Succeeded { .. })).count();
    run.answers = answers;
    // An orderly end lets the calls in flight finish.
    assert!(process.terminate().await.success());
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert_eq!(joined.cut_off, 0, "an outcome was lost with its caller: {joined:?}");
    assert!(changed > 0 && joined.unanswered > 0 && joined.intents > changed, "{joined:?}");
}
