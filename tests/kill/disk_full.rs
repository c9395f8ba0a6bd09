//! A store that cannot be written: syncs that fail once, always fail, or hang, and a full disk.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use crate::{
    disk::{Disk, Syncs},
    join::Joined,
    load::{Answer, CallResult, Caller, CallerTimeout, Change, Load, group, key},
    process::{Process, until},
    rounds,
    rounds::{Run, Storage},
    seed,
    world::TestEnv,
};

const CALLERS: u64 = 16;
/// The number of calls made while the store cannot be written.
const TRIES: usize = 20;
/// The time limit for an answer: `server.request_timeout` plus a margin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the store unwritable, and writable again.
trait StoreOutage {
    fn begin(&self);
    fn end(&self);
}

struct Broken(Arc<Disk>, Syncs);

/// A small separate file system, unmounted on drop.
struct Full {
    at: PathBuf,
}

// === impl Broken ===

impl StoreOutage for Broken {
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

impl StoreOutage for Full {
    fn begin(&self) {
        // Fills the file system to the last byte; the copy is expected to fail.
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

/// Runs a command as root, directly or through sudo, because only root can mount.
fn as_root(command: &[&str]) -> bool {
    let (program, arguments) = command.split_first().unwrap();
    let output = Command::new(program).args(arguments).output().unwrap();
    output.status.success()
        || Command::new("sudo").arg("-n").args(command).status().is_ok_and(|status| status.success())
}

fn is_unavailable(answer: &Answer) -> bool {
    matches!(&answer.result, CallResult::Failed { reason, executed: false, .. } if reason == "AUDIT_UNAVAILABLE")
}

async fn readiness(env: &TestEnv) -> u16 {
    reqwest::get(format!("http://{}/readyz", env.admin)).await.map_or(0, |answer| answer.status().as_u16())
}

fn fresh(env: &TestEnv, account: usize) -> Change {
    Change::set(&group(account, &format!("cold-{}", env.cold(account))), &key(account, 0))
}

/// The store becomes unwritable under load and then recovers. During the outage, calls fail within their
/// deadline and nothing is sent. Afterwards calls succeed again, in the same process.
async fn run_outage(run: &mut Run, outage: &dyn StoreOutage, seed: u64) -> Process {
    let process = run.start().await;
    let load = Load::start(&run.env, CALLERS, seed);
    load.wait_for_answers(50).await;
    outage.begin();
    until("a 503", async || readiness(&run.env).await == 503).await;
    run.answers.extend(load.stop().await);

    // All earlier calls have ended; from here on, nothing may reach AWS.
    let before = run.env.changes().len();
    for try_ in 0..TRIES {
        let mut caller = Caller::new(&run.env, try_ % 4, &format!("starved-{seed}-{try_}"));
        let change = fresh(&run.env, try_ % 4);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, caller.change(change, CallerTimeout::None)).await;
        let answer = answer.expect("a call is answered by its deadline");
        assert!(is_unavailable(&answer), "{answer:?}");
        run.answers.push(answer);
    }
    assert_eq!(run.env.changes().len(), before, "a call reached AWS while nothing could be recorded");
    assert_eq!(readiness(&run.env).await, 503);

    outage.end();
    until("a 200", async || readiness(&run.env).await == 200).await;
    let mut caller = Caller::new(&run.env, 0, &format!("recovered-{seed}"));
    let answer = caller.change(fresh(&run.env, 0), CallerTimeout::None).await;
    assert!(matches!(answer.result, CallResult::Succeeded { .. }), "{answer:?}");
    run.answers.push(answer);
    process
}

async fn run_with_syncs(syncs: Syncs) -> Joined {
    let seed = seed(&format!("{syncs:?}"));
    let env = TestEnv::new().await;
    let disk = Arc::new(Disk::under(&env.store()));
    let mut run = Run::new(env, Storage::LosesUnsynced(Arc::clone(&disk)), seed);
    let process = run_outage(&mut run, &Broken(disk, syncs), seed).await;
    run.kill(process, Duration::ZERO).await;
    run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn calls_fail_while_syncs_fail_and_succeed_afterwards() {
    let joined = run_with_syncs(Syncs::Fail).await;
    assert!(joined.unavailable >= TRIES, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn calls_fail_in_time_while_syncs_hang_and_succeed_afterwards() {
    let joined = run_with_syncs(Syncs::Hang).await;
    assert!(joined.unavailable >= TRIES, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn calls_fail_while_the_disk_is_full_and_succeed_afterwards() {
    let seed = seed("full");
    let env = TestEnv::new().await;
    let full = Full::mount(env.store());
    let mut run = Run::new(env, Storage::Plain, seed);
    let process = run_outage(&mut run, &full, seed).await;
    run.kill(process, Duration::ZERO).await;
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.unavailable >= TRIES, "{joined:?}");
    drop(full);
}

/// Linux marks a page as clean even if its sync failed, so a second sync succeeds without writing it. Every
/// change that the service confirms after that must still be on the disk.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/run kill"]
async fn a_retried_sync_is_not_trusted_after_a_failure() {
    let seed = seed("once");
    let env = TestEnv::new().await.with_faults();
    let disk = Arc::new(Disk::under(&env.store()));
    let mut run = Run::new(env, Storage::LosesUnsynced(Arc::clone(&disk)), seed);
    let load = Load::start(&run.env, CALLERS, seed);
    for _ in 0..rounds(5) {
        let process = run.start().await;
        load.wait_for_answers(10).await;
        disk.syncs(Syncs::FailOnce);
        let delay = run.delay(0..300);
        run.kill(process, delay).await;
        disk.syncs(Syncs::Work);
    }
    let process = run.start().await;
    run.answers = load.stop().await;
    run.kill(process, Duration::ZERO).await;
    let joined = run.join().await.unwrap_or_else(|defects| panic!("{defects:#?}"));
    assert!(joined.cut_off > 0 && joined.changed > 0, "{joined:?}");
}
