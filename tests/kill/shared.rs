//! Rounds over PostgreSQL: replicas are killed while another one goes on, and so is the server.

use std::time::Duration;

use logkey::{domain::time::Timestamp, store};
use rand::Rng as _;

use crate::{
    load::Load,
    postgres::Postgres,
    process::Process,
    rounds,
    rounds::{Run, Storage},
    seed,
    world::{TestEnv, free},
};

async fn reader(env: &TestEnv) -> Option<store::ReadOnlyStore> {
    store::open_reader(&store::Config { url: env.url() }).await.ok()
}

/// How many intents from before this moment are open; none where that cannot be told counts as one.
pub(crate) async fn open(env: &TestEnv, before: i64) -> (i64, i64) {
    let Some(reader) = reader(env).await else { return (1, 0) };
    let open = reader.log.open_intents(Timestamp::from_micros(before)).await;
    (open.map_or(1, |open| i64::try_from(open.len()).unwrap()), 0)
}

/// The newest checkpoint that anyone can see now.
pub(crate) async fn checkpoint(env: &TestEnv) -> Option<String> {
    let newest = reader(env).await?.tree.checkpoint().await;
    newest.unwrap().map(|checkpoint| checkpoint.note)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn replicas_and_their_server_killed_at_any_instant_leave_one_log_that_joins() {
    let seed = seed("shared");
    let mut server = Postgres::start().await;
    let key = format!("[audit]\ncheckpoint_key_file = \"{}\"\n", server.key_file().display());
    let env = TestEnv::over(Some(server.url()), &key).await.troubled();
    let mut run = Run::new(env, Storage::Plain, seed);
    // This one takes no calls and goes on: it sequences where the other one does not.
    let [grpc, admin] = free();
    let other =
        [("LOGKEY__SERVER__LISTEN", grpc.to_string()), ("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())];
    let mut beside = Process::spawn(&run.env, &other);
    beside.ready_at(&run.env, other[1].1.parse().unwrap()).await;
    let load = Load::start(&run.env, 16, seed);
    for round in 0..rounds(4) {
        let mut process = Process::spawn(&run.env, &[]);
        process.ready(&run.env).await;
        load.goes_on(1).await;
        if round % 2 == 1 {
            tokio::time::sleep(run.now(0..300)).await;
            server.crash();
            tokio::time::sleep(run.now(0..300)).await;
            server.up().await;
            load.goes_on(1).await;
        }
        if run.rng.random_ratio(1, 3) {
            beside.kill();
            beside = Process::spawn(&run.env, &other);
        }
        let now = run.now(0..400);
        run.kill(process, now).await;
    }
    let mut process = Process::spawn(&run.env, &[]);
    process.ready(&run.env).await;
    run.answers = load.stop().await;
    run.kill(process, Duration::ZERO).await;
    run.kill(beside, Duration::ZERO).await;
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}
