//! Rounds over PostgreSQL: replicas are killed while another one continues, and the server is killed too.

use std::time::Duration;

use logkey::{domain::time::Timestamp, store};
use rand::Rng as _;

use crate::{
    addresses::free_addresses,
    load::Load,
    postgres::Postgres,
    process::Process,
    rounds,
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

async fn reader(env: &TestEnv) -> Option<store::ReadOnlyStore> {
    store::open_reader(&store::Config { url: env.url() }).await.ok()
}

/// The number of open intents from before this time. If it cannot be read, it counts as one.
pub(crate) async fn open_intents(env: &TestEnv, before: i64) -> (i64, i64) {
    let Some(reader) = reader(env).await else { return (1, 0) };
    let open = reader.log.open_intents(Timestamp::from_micros(before)).await;
    (open.map_or(1, |open| i64::try_from(open.len()).unwrap()), 0)
}

/// The newest checkpoint in the store.
pub(crate) async fn checkpoint(env: &TestEnv) -> Option<String> {
    let newest = reader(env).await?.tree.checkpoint().await;
    newest.unwrap().map(|checkpoint| checkpoint.note)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn kills_of_replicas_and_their_server_leave_one_consistent_log() {
    let seed = seed("shared");
    let mut server = Postgres::start().await;
    let key = format!("[audit]\ncheckpoint_key_file = \"{}\"\n", server.key_file().display());
    let env = TestEnv::over(Some(server.url()), &key).await.with_faults();
    let mut run = Run::new(env, Storage::Plain, seed);
    // This replica takes no calls. It sequences events while the other one is down.
    let [grpc, admin] = free_addresses().unwrap();
    let other_address =
        [("LOGKEY__SERVER__LISTEN", grpc.to_string()), ("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())];
    let mut other_replica = Process::spawn(&run.env, &other_address);
    other_replica.ready_at(&run.env, other_address[1].1.parse().unwrap()).await;
    let load = Load::start(&run.env, 16, seed);
    for round in 0..rounds(4) {
        let mut process = Process::spawn(&run.env, &[]);
        process.ready(&run.env).await;
        load.wait_for_answers(1).await;
        if round % 2 == 1 {
            tokio::time::sleep(run.delay(0..300)).await;
            server.crash();
            tokio::time::sleep(run.delay(0..300)).await;
            server.up().await;
            load.wait_for_answers(1).await;
        }
        if run.rng.random_ratio(1, 3) {
            other_replica.kill();
            other_replica = Process::spawn(&run.env, &other_address);
        }
        let delay = run.delay(0..400);
        run.kill(process, delay).await;
    }
    let mut process = Process::spawn(&run.env, &[]);
    process.ready(&run.env).await;
    run.answers = load.stop().await;
    run.kill(process, Duration::ZERO).await;
    run.kill(other_replica, Duration::ZERO).await;
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}
