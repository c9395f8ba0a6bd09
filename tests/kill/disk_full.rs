//! A store that cannot be written: syncs that fail once, fail on, or hang, and a disk that is full.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use crate::{
    disk::{Disk, Syncs},
    join::Joined,
    load::{Answer, Answered, Caller, CallerTimeout, Change, Load, group, key},
    process::{Process, until},
    rounds,
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

const CALLERS: u64 = 16;
/// Calls that are made while nothing can be written.
const TRIES: usize = 20;
/// By when a call is answered: `server.request_timeout`, and what its answer may take beyond it.
const ANSWERED_BY: Duration = Duration::from_secs(5);

/// What takes the store away, and gives it back.
trait Trouble {
    fn begin(&self);
    fn end(&self);
}

struct Broken(Arc<Disk>, Syncs);

/// A small file system of its own; unmounted when it is dropped.
struct Full {
    at: PathBuf,
}

// === impl Broken ===

impl Trouble for Broken {
    fn begin(&self) {
        self.0.syncs(self.1);
    }

    fn end(&self) {
        self.0.syncs(Syncs::Work);
    }
}

// === impl Full ===

impl Full {
    fn mount(at: PathBuf) -> Self {
        assert!(as_root(&[
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "size=24m,mode=0777",
            "logkey-kill",
            at.to_str().unwrap()
        ]));
        Self { at }
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Trouble for Full {
    fn begin(&self) {
        // To the last byte; the copy fails, as it should.
        drop(Command::new("cp").arg("/dev/zero").arg(self.ballast()).output());
    }

    fn end(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        as_root(&["umount", "--lazy", self.at.to_str().unwrap()]);
    }
}

/// Mounting is for root alone, here or by sudo.
fn as_root(command: &[&str]) -> bool {
    let (program, arguments) = command.split_first().unwrap();
    let done = Command::new(program).args(arguments).output().unwrap();
    done.status.success()
        || Command::new("sudo").arg("-n").args(command).status().is_ok_and(|it| it.success())
}

fn is_unavailable(answer: &Answer) -> bool {
    matches!(&answer.result, Answered::Refused { reason, executed: false, .. } if reason == "AUDIT_UNAVAILABLE")
}

async fn readiness(env: &TestEnv) -> u16 {
    reqwest::get(format!("http://{}/readyz", env.admin)).await.map_or(0, |answer| answer.status().as_u16())
}

fn fresh(env: &TestEnv, account: usize) -> Change {
    Change::set(&group(account, &format!("cold-{}", env.cold(account))), &key(account, 0))
}

/// The store goes away under load and comes back: meanwhile calls fail in time and nothing is sent, and
/// afterwards they succeed again, in the same process.
async fn goes_away_and_comes_back(run: &mut Run, trouble: &dyn Trouble, seed: u64) -> Process {
    let process = run.start().await;
    let load = Load::start(&run.env, CALLERS, seed);
    load.goes_on(50).await;
    trouble.begin();
    until("a 503", async || readiness(&run.env).await == 503).await;
    run.answers.extend(load.stop().await);

    // Whatever was under way has ended; from here on nothing reaches AWS.
    let before = run.env.changes().len();
    for try_ in 0..TRIES {
        let mut caller = Caller::new(&run.env, try_ % 4, &format!("starved-{seed}-{try_}"));
        let change = fresh(&run.env, try_ % 4);
        let answer = tokio::time::timeout(ANSWERED_BY, caller.change(change, CallerTimeout::All)).await;
        let answer = answer.expect("a call is answered by its deadline");
        assert!(is_unavailable(&answer), "{answer:?}");
        run.answers.push(answer);
    }
    assert_eq!(run.env.changes().len(), before, "AWS was asked while nothing could be recorded");
    assert_eq!(readiness(&run.env).await, 503);

    trouble.end();
    until("a 200", async || readiness(&run.env).await == 200).await;
    let mut caller = Caller::new(&run.env, 0, &format!("recovered-{seed}"));
    let answer = caller.change(fresh(&run.env, 0), CallerTimeout::All).await;
    assert!(matches!(answer.result, Answered::Made { .. }), "{answer:?}");
    run.answers.push(answer);
    process
}

async fn breaks(syncs: Syncs) -> Joined {
    let seed = seed(&format!("{syncs:?}"));
    let env = TestEnv::new().await;
    let disk = Arc::new(Disk::under(&env.store()));
    let mut run = Run::new(env, Storage::Drops(Arc::clone(&disk)), seed);
    let process = goes_away_and_comes_back(&mut run, &Broken(disk, syncs), seed).await;
    run.kill(process, Duration::ZERO).await;
    run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn while_syncs_fail_calls_are_refused_and_afterwards_it_goes_on() {
    let joined = breaks(Syncs::Fail).await;
    assert!(joined.unavailable >= TRIES, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn while_syncs_hang_calls_are_refused_in_time_and_afterwards_it_goes_on() {
    let joined = breaks(Syncs::Hang).await;
    assert!(joined.unavailable >= TRIES, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn while_the_disk_is_full_calls_are_refused_and_afterwards_it_goes_on() {
    let seed = seed("full");
    let env = TestEnv::new().await;
    let full = Full::mount(env.store());
    let mut run = Run::new(env, Storage::Plain, seed);
    let process = goes_away_and_comes_back(&mut run, &full, seed).await;
    run.kill(process, Duration::ZERO).await;
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.unavailable >= TRIES, "{joined:?}");
    drop(full);
}

/// Linux takes a page whose sync failed for clean: a second sync says yes and writes nothing. What was
/// told after that has to be on the disk all the same.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn a_sync_that_failed_once_is_not_trusted_when_it_is_tried_again() {
    let seed = seed("once");
    let env = TestEnv::new().await.troubled();
    let disk = Arc::new(Disk::under(&env.store()));
    let mut run = Run::new(env, Storage::Drops(Arc::clone(&disk)), seed);
    let load = Load::start(&run.env, CALLERS, seed);
    for _ in 0..rounds(5) {
        let process = run.start().await;
        load.goes_on(10).await;
        disk.syncs(Syncs::FailOnce);
        let now = run.now(0..300);
        run.kill(process, now).await;
        disk.syncs(Syncs::Work);
    }
    let process = run.start().await;
    run.answers = load.stop().await;
    run.kill(process, Duration::ZERO).await;
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}
