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
    world::{World, free},
};

async fn reader(world: &World) -> Option<store::Readable> {
    store::open_reader(&store::Config { url: world.url() }).await.ok()
}

/// How many intents from before this moment are open; none where that cannot be told counts as one.
pub(crate) async fn open(world: &World, before: i64) -> (i64, i64) {
    let Some(reader) = reader(world).await else { return (1, 0) };
    let open = reader.log.unsettled(Timestamp::from_micros(before)).await;
    (open.map_or(1, |open| i64::try_from(open.len()).unwrap()), 0)
}

/// The newest checkpoint that anyone can see now.
pub(crate) async fn checkpoint(world: &World) -> Option<String> {
    let newest = reader(world).await?.tree.checkpoint().await;
    newest.unwrap().map(|checkpoint| checkpoint.note)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn replicas_and_their_server_killed_at_any_instant_leave_one_log_that_joins() {
    let seed = seed("shared");
    let mut server = Postgres::start().await;
    let key = format!("[audit]\ncheckpoint_key_file = \"{}\"\n", server.key_file().display());
    let world = World::over(Some(server.url()), &key).await.troubled();
    let mut run = Run::new(world, Storage::Plain, seed);
    // This one takes no calls and goes on: it sequences where the other one does not.
    let [grpc, admin] = free();
    let elsewhere =
        [("LOGKEY__SERVER__LISTEN", grpc.to_string()), ("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())];
    let mut beside = Process::spawn(&run.world, &elsewhere);
    beside.ready_at(&run.world, elsewhere[1].1.parse().unwrap()).await;
    let load = Load::start(&run.world, 16, seed);
    for round in 0..rounds(4) {
        let mut process = Process::spawn(&run.world, &[]);
        process.ready(&run.world).await;
        load.goes_on(1).await;
        if round % 2 == 1 {
            tokio::time::sleep(run.moment(0..300)).await;
            server.crash();
            tokio::time::sleep(run.moment(0..300)).await;
            server.up().await;
            load.goes_on(1).await;
        }
        if run.rng.random_ratio(1, 3) {
            beside.kill();
            beside = Process::spawn(&run.world, &elsewhere);
        }
        let moment = run.moment(0..400);
        run.kill(process, moment).await;
    }
    let mut process = Process::spawn(&run.world, &[]);
    process.ready(&run.world).await;
    run.answers = load.stop().await;
    run.kill(process, Duration::ZERO).await;
    run.kill(beside, Duration::ZERO).await;
    let joined = run.join().await.unwrap_or_else(|flaws| panic!("{flaws:#?}"));
    assert!(joined.cut_off > 0 && joined.made > 0, "{joined:?}");
}
