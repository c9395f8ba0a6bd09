//! Two processes that use the same store.

use std::time::Duration;

use crate::{
    addresses::free_addresses,
    load::Load,
    process::Process,
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn a_second_process_cannot_start_until_the_first_is_killed() {
    let seed = seed("two");
    let mut run = Run::new(TestEnv::new().await.with_faults(), Storage::Plain, seed);
    let first = run.start().await;
    let load = Load::start(&run.env, 4, seed);
    load.wait_for_answers(10).await;
    let [grpc, admin] = free_addresses().unwrap();
    let other =
        [("LOGKEY__SERVER__LISTEN", grpc.to_string()), ("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())];
    let refused = Process::spawn(&run.env, &other).finished().await;
    assert_eq!(refused.code(), Some(1));
    let output = std::fs::read_to_string(run.env.path("stderr")).unwrap();
    assert!(output.contains("in use by another process"), "{output}");
    // The first process still works, and its kill leaves nothing that blocks the next one.
    load.wait_for_answers(10).await;
    run.kill(first, Duration::ZERO).await;
    let mut second = Process::spawn(&run.env, &other);
    second.ready_at(&run.env, admin).await;
    second.kill();
    run.answers = load.stop().await;
    run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
}
