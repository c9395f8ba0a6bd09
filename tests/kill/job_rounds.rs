//! Rounds in which the service works on bulk jobs and is killed, or is stopped for longer than its lease.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use logkey::sandbox::call_log::Entry;
use rand::Rng as _;

use crate::{
    addresses::free_addresses,
    job_join::join_jobs,
    jobs::{EndedJob, Jobs, by_location},
    join::change_of,
    log,
    log::Event,
    postgres::Postgres,
    process::Process,
    rounds,
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

/// How long before an interruption a location counts as worked on.
const ACTIVE: SignedDuration = SignedDuration::from_millis(500);
/// The time for which a stopped replica cannot confirm its claims, in milliseconds. The lease has 3 s.
const STOPPED: std::ops::Range<u64> = 3_200..5_500;
/// The same, for longer than any change may take.
const STOPPED_LONG: std::ops::Range<u64> = 10_000..15_000;
/// The time for which the store cannot be reached.
const OUTAGE: Duration = Duration::from_secs(20);

/// Replicas over one PostgreSQL server.
struct Replicas {
    run: Run,
    addresses: Vec<[SocketAddr; 2]>,
    processes: Vec<Process>,
}

// === impl Replicas ===

impl Replicas {
    async fn start(server: &Postgres, count: usize, seed: u64) -> Self {
        let key = format!("[audit]\ncheckpoint_key_file = \"{}\"\n", server.key_file().display());
        let env = TestEnv::over(Some(server.url()), &key).await.with_faults();
        let run = Run::new(env, Storage::Plain, seed);
        let addresses = (0..count).map(|_| free_addresses().unwrap()).collect();
        let mut replicas = Self { run, addresses, processes: Vec::new() };
        for number in 0..count {
            let mut process = replicas.spawn(number);
            replicas.ready(&mut process, number).await;
            replicas.processes.push(process);
        }
        replicas
    }

    fn spawn(&self, number: usize) -> Process {
        let [grpc, admin] = self.addresses[number];
        let environment = [
            ("LOGKEY__SERVER__LISTEN", grpc.to_string()),
            ("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string()),
        ];
        Process::spawn(&self.run.env, &environment)
    }

    async fn ready(&self, process: &mut Process, number: usize) {
        process.ready_at(&self.run.env, self.addresses[number][1]).await;
    }

    fn jobs(&self) -> Jobs {
        let addresses: Vec<SocketAddr> = self.addresses.iter().map(|[grpc, _]| *grpc).collect();
        Jobs::new(&self.run.env, &addresses)
    }

    fn any(&mut self) -> usize {
        self.run.rng.random_range(0..self.processes.len())
    }

    /// Kills a replica, and starts it again a little later. Returns the time of the kill.
    async fn kill_one(&mut self) -> Timestamp {
        let number = self.any();
        let killed = self.processes.swap_remove(number);
        let at = Timestamp::now();
        killed.kill();
        self.addresses.swap_remove(number);
        let [grpc, admin] = free_addresses().unwrap();
        self.addresses.push([grpc, admin]);
        tokio::time::sleep(self.run.delay(0..1_500)).await;
        let last = self.addresses.len() - 1;
        let mut process = self.spawn(last);
        self.ready(&mut process, last).await;
        self.processes.push(process);
        at
    }

    /// Waits for the end of the jobs, ends all replicas and joins everything.
    async fn join(self, jobs: Jobs) -> (Vec<Event>, Vec<Entry>) {
        let ended = jobs.finish().await;
        for process in self.processes {
            assert!(process.terminate().await.success());
        }
        join(self.run, &ended).await
    }
}

/// Joins everything, and returns the audit log and all calls that AWS received.
async fn join(run: Run, ended: &[EndedJob]) -> (Vec<Event>, Vec<Entry>) {
    let env = Arc::clone(&run.env);
    run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    let (events, calls) = (log::export(&env), env.aws.sandbox().journal());
    let joined = join_jobs(&env, ended, &events, &calls);
    let joined = joined.unwrap_or_else(|defects| panic!("{} defects: {defects:#?}", defects.len()));
    eprintln!("{joined:?}");
    assert!(joined.succeeded > 0, "{joined:?}");
    (events, calls)
}

/// Prints the times from the interruptions to the next change in the location that waited longest for one. An
/// item that had an intent waits until no process can still be working on it, so it is reported apart.
fn report_gaps(what: &str, interruptions: &[Timestamp], (events, calls): &(Vec<Event>, Vec<Entry>)) {
    let locations = by_location(calls);
    let mut intents: HashMap<String, Timestamp> = HashMap::new();
    for event in events.iter().filter(|event| event.kind == "intent") {
        let time = Timestamp::from_microsecond(event.time).unwrap();
        intents.entry(event.resource.clone().unwrap_or_default()).or_insert(time);
    }
    let gaps = |is_counted: &dyn Fn(&Timestamp, &Entry) -> bool| {
        let longest = |at: &Timestamp| {
            let gaps = locations.values().filter_map(|calls| {
                let next = calls.partition_point(|call| call.time <= *at);
                let last = calls.get(next.checked_sub(1)?)?;
                (at.duration_since(last.time) < ACTIVE).then_some(())?;
                let (_, later) = calls.split_at(next);
                Some(later.iter().find(|call| is_counted(at, call))?.time.duration_since(*at))
            });
            gaps.max()
        };
        interruptions.iter().filter_map(longest).collect::<Vec<_>>()
    };
    let is_new =
        |at: &Timestamp, call: &Entry| intents.get(&change_of(call).resource).is_some_and(|it| it > at);
    report(
        &format!("from {what} to the next change in the location that waited longest"),
        gaps(&|_, _| true),
    );
    report(&format!("from {what} to the next item without an earlier intent there"), gaps(&is_new));
}

fn report(what: &str, mut durations: Vec<SignedDuration>) {
    durations.sort();
    let at = |percent: usize| durations.get((durations.len() - 1) * percent / 100).unwrap().as_millis();
    if !durations.is_empty() {
        eprintln!(
            "{what}: median {} ms, 90 % {} ms, longest {} ms, of {}",
            at(50),
            at(90),
            at(100),
            durations.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn after_kills_a_job_ends_and_does_nothing_twice() {
    let seed = seed("jobs");
    let mut run = Run::new(TestEnv::new().await.with_faults(), Storage::Plain, seed);
    let mut jobs = Jobs::new(&run.env, &[run.env.grpc]);
    let (mut from_ready, mut from_start) = (Vec::new(), Vec::new());
    for round in 0..rounds(4) {
        if run.rng.random_ratio(1, 4) {
            let (process, delay) = (Process::spawn(&run.env, &[]), run.delay(0..400));
            run.kill(process, delay).await;
        }
        let started = Timestamp::now();
        let mut process = Process::spawn(&run.env, &[]);
        process.ready(&run.env).await;
        let ready = Timestamp::now();
        let changed = jobs.wait_for_change().await;
        if round > 0 {
            from_ready.push(changed.duration_since(ready));
            from_start.push(changed.duration_since(started));
        }
        let delay = run.delay(0..600);
        run.kill(process, delay).await;
    }
    let mut process = Process::spawn(&run.env, &[]);
    process.ready(&run.env).await;
    let ended = jobs.finish().await;
    assert!(process.terminate().await.success());
    join(run, &ended).await;
    report("from the start of a process to the next change", from_start);
    report("from its readiness", from_ready);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn kills_of_replicas_do_not_stop_a_job_or_repeat_its_changes() {
    let seed = seed("jobs of replicas");
    let server = Postgres::start().await;
    let mut replicas = Replicas::start(&server, 3, seed).await;
    let mut kills = Vec::new();
    let mut jobs = replicas.jobs();
    for _ in 0..rounds(4) {
        jobs.wait_for_change().await;
        tokio::time::sleep(replicas.run.delay(0..1_000)).await;
        kills.push(replicas.kill_one().await);
        jobs.call_at(&replicas.addresses);
    }
    let joined = replicas.join(jobs).await;
    report_gaps("a kill", &kills, &joined);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn a_replica_that_was_stopped_sends_nothing_that_another_took_over() {
    let seed = seed("stopped replicas");
    let server = Postgres::start().await;
    let mut replicas = Replicas::start(&server, 2, seed).await;
    replicas.run.stops_processes = true;
    let mut stops = Vec::new();
    let mut jobs = replicas.jobs();
    for round in 0..rounds(3) {
        jobs.wait_for_change().await;
        tokio::time::sleep(replicas.run.delay(0..1_000)).await;
        let stopped = if round % 4 == 3 { STOPPED_LONG } else { STOPPED };
        let number = replicas.any();
        stops.push(Timestamp::now());
        replicas.processes[number].signal("-STOP");
        let [running, _] = replicas.addresses[1 - number];
        // A call to the stopped replica would wait for it.
        let all: Vec<_> = std::mem::replace(&mut replicas.addresses, vec![[running; 2]]);
        jobs.call_at(&replicas.addresses);
        replicas.addresses = all;
        tokio::time::sleep(replicas.run.delay(stopped)).await;
        replicas.processes[number].signal("-CONT");
    }
    jobs.call_at(&replicas.addresses);
    let joined = replicas.join(jobs).await;
    report_gaps("a stop", &stops, &joined);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn a_job_survives_a_store_that_is_gone_for_long() {
    let seed = seed("jobs without a store");
    let mut server = Postgres::start().await;
    let mut replicas = Replicas::start(&server, 2, seed).await;
    let mut jobs = replicas.jobs();
    jobs.wait_for_change().await;
    tokio::time::sleep(replicas.run.delay(0..1_000)).await;
    if replicas.run.rng.random() {
        server.crash();
        tokio::time::sleep(OUTAGE).await;
        server.up().await;
    } else {
        server.hang();
        tokio::time::sleep(OUTAGE).await;
        server.resume();
    }
    replicas.join(jobs).await;
}
