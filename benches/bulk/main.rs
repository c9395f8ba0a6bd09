//! `cargo bench --bench bulk`: the figures of bulk jobs, in real time, against an embedded AWS with AWS's quotas.
//!
//! - `run` (row 9 of the goals): one bulk job, concurrent callers, and with `--custodian PATH/TO/c7n-org` also
//!   cloud-custodian set a key on many log groups in many accounts. Each uses a new embedded AWS.
//! - `plan`: the time and memory of a plan.
//! - `interactive`: single calls alone and beside a job.
#![expect(clippy::print_stdout, reason = "a bench prints figures")]

#[path = "../shared/addresses.rs"]
mod addresses;
mod callers;
#[path = "../shared/child.rs"]
mod child;
mod custodian;
mod interactive;
mod job;
mod plan;
mod process;
mod progress;
mod world;

use std::{env, error::Error, path::PathBuf, time::Duration};

use self::{process::Sandbox, progress::Progress, world::World};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// AWS's quota of `AssociateKmsKey` calls per second, and its burst, in an account and Region.
const PER_SECOND: u32 = 5;
/// AWS's quota of `DescribeLogGroups`, and the log groups of one page.
const DESCRIBES_PER_SECOND: u32 = 10;
const PAGE: u32 = 50;
const USAGE: &str = "usage: bulk [run|plan|interactive] [--accounts N] [--groups N] [--custodian PATH]";

/// What is measured.
#[derive(Clone, Copy)]
enum Mode {
    /// A job, callers, and cloud-custodian.
    Run,
    Plan,
    Interactive,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let (mut mode, mut accounts, mut groups, mut custodian) = (Mode::Run, 40, 20, None);
    // Cargo adds `--bench`.
    let mut arguments = env::args().skip(1).filter(|a| a != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "run" => mode = Mode::Run,
            "plan" => mode = Mode::Plan,
            "interactive" => mode = Mode::Interactive,
            "--accounts" => accounts = value()?.parse()?,
            "--groups" => groups = value()?.parse()?,
            "--custodian" => custodian = Some(PathBuf::from(value()?)),
            _ => return Err(USAGE.into()),
        }
    }
    let world = World::new(accounts, groups)?;
    println!("{accounts} accounts of {groups} log groups");
    match mode {
        Mode::Run => compare(&world, groups, custodian).await,
        Mode::Plan => plan::run(&world).await,
        Mode::Interactive => interactive::run(&world.with_single_groups(interactive::CALLS)).await,
    }
}

/// Does the same with a job, with concurrent callers, and with cloud-custodian.
async fn compare(world: &World, groups: u32, custodian: Option<PathBuf>) -> Outcome<()> {
    let ideal = Duration::from_secs(1) * groups.saturating_sub(PER_SECOND) / PER_SECOND;
    println!("ideal of {PER_SECOND} calls/s: {:.1} s", ideal.as_secs_f64());

    let aws = Sandbox::start(world).await?;
    let run = job::run(world, &aws).await?;
    let service = aws.progress().await?;
    service.report("a bulk job", ideal);
    let pages = groups.div_ceil(PAGE);
    let planned =
        ideal + Duration::from_secs(1) * pages.saturating_sub(DESCRIBES_PER_SECOND) / DESCRIBES_PER_SECOND;
    println!(
        "    from the request to the recorded end: {:.1} s, {:.3} of the ideal of plan and changes; {} items did not succeed",
        run.time.as_secs_f64(),
        run.time.div_duration_f64(planned),
        run.failed
    );
    service.check_complete(world)?;
    drop(aws);
    world.forget_store();

    let aws = Sandbox::start(world).await?;
    let callers = callers::run(world, &aws).await?;
    let other = aws.progress().await?;
    other.report("concurrent callers", ideal);
    println!("    {} calls failed", callers.failed);
    other.check_complete(world)?;
    drop(aws);
    println!(
        "CPU time: {:.0} us for an item of the job, {:.0} us for a call, ratio {:.2}",
        micros(run.cpu, world),
        micros(callers.cpu, world),
        run.cpu.div_duration_f64(callers.cpu)
    );

    let Some(custodian) = custodian else {
        println!("cloud-custodian was not measured: name its c7n-org with --custodian");
        return Ok(());
    };
    let aws = Sandbox::start(world).await?;
    let runs = custodian::run(&custodian, world, &aws).await?;
    let other = aws.progress().await?;
    other.report("c7n-org", ideal);
    println!("    {} runs until the job was done: {}", runs.len(), runs.join("; "));
    other.check_complete(world)?;
    println!("c7n-org took {:.1} times as long", other.lasted()?.div_duration_f64(service.lasted()?));
    Ok(())
}

/// The microseconds of CPU time for each log group.
#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn micros(cpu: Duration, world: &World) -> f64 {
    cpu.as_secs_f64() * 1e6 / (world.accounts.len() * world.groups) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

// === impl Progress ===

impl Progress {
    fn report(&self, name: &str, ideal: Duration) {
        let lasted = self.lasted().unwrap_or_default();
        println!(
            "{name}: {:.1} s from the first call to the last, {:.3} of the ideal; {} set, {} throttled, {} refused for other reasons",
            lasted.as_secs_f64(),
            lasted.div_duration_f64(ideal),
            self.set,
            self.throttled,
            self.refused,
        );
    }

    /// Fails if a log group has no key: the time of an unfinished job does not count.
    fn check_complete(&self, world: &World) -> Outcome<()> {
        let expected = world.accounts.len() * world.groups;
        if self.with_key == expected {
            Ok(())
        } else {
            Err(format!("only {} of {expected} log groups have a key", self.with_key).into())
        }
    }
}
